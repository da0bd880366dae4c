"""`python -m triptych.handwriting FOLDER`: the data that the small model of handwriting is trained and examined on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from triptych.errors import TriptychError
from triptych.handwriting.files import Amount, write_data


def main() -> int:
    """Write the folder; what is wrong is said without a traceback."""
    parser = argparse.ArgumentParser(prog="python -m triptych.handwriting", description=(__doc__ or "").split(": ")[1])
    parser.add_argument("folder", type=Path, help="the folder to write; none may be there")
    for name, count in (("train", Amount.train), ("held_out", Amount.held_out), ("questions", Amount.questions)):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=count, help=f"default {count}")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    args = parser.parse_args()
    try:
        write_data(args.folder, amount=Amount(args.train, args.held_out, args.questions), seed=args.seed)
    except (TriptychError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
