"""`triptych experiment`: what `conf/` and the registry compose, checked, run and summed up."""

from __future__ import annotations

import argparse
import sys

from triptych.cli.output import print_json

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Mapping, Sequence

    from triptych.experiments.sweep import Member


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
    parser.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="run a member for each combination of several values: tower=clip,siglip language_model=glob(*)",
    )
    parser.add_argument("--json", action="store_true", help="the results as JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.multirun:
        return _run_all(args.name, args.overrides, as_json=args.json)
    from triptych.experiments.processes import is_first
    from triptych.experiments.run import run_experiment

    outcome = run_experiment(args.name, args.overrides)
    if not is_first():
        return 0
    print(f"kept in {outcome.folder}", file=sys.stderr)
    _print([{"experiment": args.name, **outcome.result}], as_json=args.json)
    return 0


def _run_all(name: str, words: Sequence[str], *, as_json: bool) -> int:
    from triptych.experiments.comparison import why
    from triptych.experiments.sweep import sweep

    members: list[Member] = []
    try:
        for member in sweep(name, words):
            said = f"kept in {member.outcome.folder}" if member.outcome else f"broken: {why(member)}"
            print(f"{member.number}/{member.of} {' '.join(member.choices) or name}: {said}", file=sys.stderr)
            members.append(member)
    except KeyboardInterrupt:  # what is done is compared
        _compare(words, members, as_json=as_json)
        raise
    return _compare(words, members, as_json=as_json)


def _compare(words: Sequence[str], members: Sequence[Member], *, as_json: bool) -> int:
    """Print and keep what members came to, before the disk is asked for room; 1 where one is broken."""
    from triptych.experiments.comparison import compared, keep, shown

    _print([(compared if as_json else shown)(member) for member in members], as_json=as_json)
    broken = sum(member.outcome is None for member in members)
    print(f"{len(members)} members, {f'{broken} broken' if broken else 'none broken'}", file=sys.stderr)
    if folder := keep(words, members):
        print(f"compared in {folder}", file=sys.stderr)
    return int(bool(broken))


def _print(rows: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    from triptych.experiments.table import print_table

    print_table(rows)
