"""`triptych experiment`: what `conf/` and the registry compose, checked, run and summed up."""

from __future__ import annotations

import argparse
import sys

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("experiment", help="compose an experiment from config groups and run its task")
    parser.add_argument("name", metavar="NAME", help="an experiment, or the path of its YAML file")
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="key=value",
        help="an option of a group (tower=siglip), a value (run.seed=3), one of the spec (model.parts.norm.eps=1e-6)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from triptych.experiments.run import run_experiment
    from triptych.experiments.table import print_table

    outcome = run_experiment(args.name, args.overrides)
    print_table([{"experiment": args.name, **outcome.result}])
    print(outcome.folder, file=sys.stderr)
    return 0
