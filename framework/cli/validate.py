"""`triptych validate`: spec files by themselves, without torch."""

from __future__ import annotations

import argparse
import os
import sys

from triptych.cli.reports import add_options, lines

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from pathlib import Path


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("validate", help="check spec files; imports no torch")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a YAML file, or a folder of them")
    add_options(parser, rungs=("spec", "capabilities"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from triptych.cli.reports.text import problem_lines
    from triptych.spec.rungs import validate_file

    found = {path: validate_file(path, rungs=args.rung) for given in args.paths for path in _files(given)}
    for line in problem_lines(found.values()) if args.format == "text" else lines(args.format, found.values()):
        print(line)
    wrong = sum(not report.passed for report in found.values())
    if args.format in ("text", "github"):
        specs = f"{len(found)} spec" + "s" * (len(found) != 1)
        print(f"{specs}, {wrong} with mistakes" if wrong else f"{specs}, all valid", file=sys.stderr)
    return int(wrong > 0)


def _files(given: str) -> list[Path]:
    from pathlib import Path

    from triptych.errors import OptionError

    path = Path(given)
    if os.path.isdir(path):  # which says no of a path that cannot be; `is_dir` raises
        if not (files := sorted(path.glob("*.yaml"))):
            raise OptionError(f"{given}: no YAML file in this folder")
        return files
    return [path]
