"""`triptych validate`: spec files by themselves, without torch."""

from __future__ import annotations

import argparse
import sys

from triptych.cli.output import print_json

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from pathlib import Path

    from triptych.errors import Problem


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("validate", help="check spec files; imports no torch")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a YAML file, or a folder of them")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to say what was found")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from triptych.spec.validate import validate

    found = {str(path): validate(path) for given in args.paths for path in _files(given)}
    if args.format == "json":
        print_json([{"file": file, "problems": [_as_json(p) for p in problems]} for file, problems in found.items()])
    else:
        for problems in found.values():
            for problem in problems:
                print(problem)
        wrong = sum(bool(problems) for problems in found.values())
        print(
            f"{len(found)} specs, {wrong} with mistakes" if wrong else f"{len(found)} specs, all valid", file=sys.stderr
        )
    return int(any(found.values()))


def _files(given: str) -> list[Path]:
    from pathlib import Path

    from triptych.errors import OptionError

    path = Path(given)
    if path.is_dir():
        if not (files := sorted(path.glob("*.yaml"))):
            raise OptionError(f"{given}: no YAML file in this folder")
        return files
    return [path]


def _as_json(problem: Problem) -> dict[str, object]:
    place = problem.place
    where = {"file": place.file, "line": place.line, "column": place.col} if place else {}
    return {**where, "path": problem.path, "message": problem.message}
