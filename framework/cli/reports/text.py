"""Reports for a person: `file:line:column: path: message`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from triptych.spec.rungs import Report


def lines(reports: Iterable[Report]) -> Iterator[str]:
    """A line a rung, the problems of a rung below it."""
    for report in reports:
        for rung in report.rungs:
            said = rung.skipped or "; ".join(rung.notes)
            yield f"{report.name}: {rung.name}: {rung.state}{f' ({said})' if said else ''}"
            yield from (f"  {problem}" for problem in rung.problems)


def problem_lines(reports: Iterable[Report]) -> Iterator[str]:
    """A line a problem, as compilers print them; editors and greps read those."""
    for report in reports:
        for rung in report.rungs:
            yield from map(str, rung.problems)
