"""Random configs of specs against their references: a few of a family's variations at once, with other sizes.

    python -m tools.random_configs [SPEC ...] [--examples N] [--changed-since REVISION]

They are the same ones every time. The exit status is 1 when the logits of one differ by more than is allowed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from triptych.registry import spec_files
from triptych.spec.document import read_document

ROOT = Path(__file__).resolve().parent.parent


def changed(revision: str) -> set[str]:
    """The specs whose file, cases or base is another than at a revision. Raises CalledProcessError for none such."""
    words = ["git", "diff", "--name-only", revision, "--", "conf/model", "tests/parity/cases"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    found = {Path(line).stem for line in done.stdout.split()}
    while more := {name for name, bases in _bases().items() if bases & found} - found:
        found |= more
    return found


def _bases() -> dict[str, set[str]]:
    given = {name: read_document(path).get("base") or [] for name, path in spec_files().items()}
    return {name: {*([bases] if isinstance(bases, str) else bases)} for name, bases in given.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.random_configs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("specs", nargs="*", metavar="SPEC", help="registered ones (default: all)")
    parser.add_argument("--examples", type=int, default=25, metavar="N", help="of each spec (default 25)")
    parser.add_argument("--changed-since", metavar="REVISION", help="those alone that are not as they were there")
    args = parser.parse_args()
    random_configs = import_module("tests.parity.random_configs")
    known = random_configs.cases()
    if unknown := {*args.specs} - {*known}:
        parser.error(f"no parity cases of {', '.join(sorted(unknown))}; there are of {', '.join(known)}")
    asked = [*(args.specs or known)]
    if args.changed_since:
        try:
            since = changed(args.changed_since)
        except subprocess.CalledProcessError as error:
            parser.error(f"--changed-since {args.changed_since}: {error.stderr.splitlines()[0]}")
        asked = [name for name in asked if name in since]
    wrong = [line for name in asked for line in _tell(random_configs.tally(name, examples=args.examples))]
    print(f"{len(asked)} specs, {len(wrong)} configs with other logits than their reference")
    sys.exit(bool(wrong))


def _tell(tally: object) -> list[str]:
    found = vars(tally)
    ends = ", ".join(f"{count} {end}" for end, count in sorted(found["ends"].items()))
    print(f"{found['spec']}: {ends}; worst {found['worst']:.0e}")
    for line in (*sorted(found["refusals"]), *found["wrong"]):
        print(f"  {line}")
    sys.stdout.flush()
    return list(found["wrong"])


if __name__ == "__main__":
    main()
