"""How reports are told: a closed table of formats, a module each, imported when it is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from triptych.spec.rungs import Report

FORMATS = ("text", "json", "junit", "sarif", "github")


def add_options(parser: argparse.ArgumentParser, *, rungs: Sequence[str]) -> None:
    """`--format` and `--rung` of a command that climbs `rungs`, of which the last is its default."""

    def rung(word: str) -> tuple[str, ...]:
        from triptych.errors import OptionError
        from triptych.spec.rungs import rungs_up_to

        try:
            return rungs_up_to(word, among=rungs)
        except OptionError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    names = ", ".join(f"{number} or {name}" for number, name in enumerate(rungs, 1))
    parser.add_argument("--format", choices=FORMATS, default="text", help="how to say what was found")
    parser.add_argument("--rung", type=rung, default=tuple(rungs), metavar="RUNG", help=f"the last to climb: {names}")


def lines(name: str, reports: Iterable[Report]) -> Iterator[str]:
    """The lines of reports in the format `name`; those of `text` and `github` come as each report does."""
    assert name in FORMATS
    match name:
        case "json":
            from triptych.cli.reports.as_json import lines as told
        case "junit":
            from triptych.cli.reports.junit import lines as told
        case "sarif":
            from triptych.cli.reports.sarif import lines as told
        case "github":
            from triptych.cli.reports.github import lines as told
        case _:
            from triptych.cli.reports.text import lines as told
    return told(reports)
