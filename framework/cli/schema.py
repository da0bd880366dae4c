"""`triptych schema`: the JSON Schema of specs with everything that is installed, for editors."""

from __future__ import annotations

import argparse
import sys

from triptych.cli.output import print_json

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("schema", help="write the JSON Schema of spec files, for editors")
    parser.add_argument("--out", metavar="FILE", help="a file to write it to, instead of stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from triptych.errors import OptionError
    from triptych.spec.json_schema import spec_json_schema
    from triptych.whole_file import write_whole

    schema, troubles = spec_json_schema()
    for trouble in troubles:
        print(trouble, file=sys.stderr)
    if args.out is None:
        print_json(schema)
        return 0
    try:
        write_whole(Path(args.out), f"{json.dumps(schema, indent=2)}\n")
    except OSError as error:
        raise OptionError(f"--out {args.out}: {error.strerror or error}") from None
    return 0
