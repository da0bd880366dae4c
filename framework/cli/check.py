"""`triptych check`: the ladder, rung by rung."""

from __future__ import annotations

import argparse
import sys

from triptych.cli.output import print_json

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from typing import Any

    from triptych.check import Report


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("check", help="build specs without memory; compare them with a checkpoint's headers")
    parser.add_argument("specs", nargs="+", metavar="NAME|PATH", help="a registered spec, or the path of a YAML file")
    parser.add_argument("--checkpoint", metavar="DIR", help="a folder with config.json and safetensors files")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from triptych.check import check_spec

    checkpoint = Path(args.checkpoint) if args.checkpoint else None
    reports = []
    for spec in args.specs:
        report = check_spec(spec, checkpoint=checkpoint)
        reports.append(report)
        if not args.json:
            _print(report)
    if args.json:
        print_json([_as_json(report) for report in reports])
    return int(not all(report.passed for report in reports))


def _print(report: Report) -> None:
    for rung in report.rungs:
        said = rung.skipped or "; ".join(rung.notes)
        print(f"{report.name}: {rung.name}: {rung.state}{f' ({said})' if said else ''}")
        for problem in rung.problems:
            print(f"  {problem}")
    sys.stdout.flush()


def _as_json(report: Report) -> dict[str, Any]:
    rungs = [
        {
            "rung": rung.name,
            "state": rung.state,
            "problems": [str(problem) for problem in rung.problems],
            "notes": rung.notes,
            "skipped": rung.skipped,
        }
        for rung in report.rungs
    ]
    return {"spec": report.name, "passed": report.passed, "rungs": rungs}
