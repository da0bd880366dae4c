"""Reports as workflow commands of GitHub Actions, which shows them beside the lines that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from triptych.cli.reports.paths import relative
from triptych.errors import Problem
from triptych.spec.rungs import Report


def lines(reports: Iterable[Report]) -> Iterator[str]:
    """An `::error` a problem."""
    for report in reports:
        for rung in report.rungs:
            for problem in rung.problems:
                yield _command(problem, report, title=f"triptych {rung.name}")


def _command(problem: Problem, report: Report, *, title: str) -> str:
    said: dict[str, object] = {}
    place = problem.place
    if file := place.file if place else report.file:
        said["file"] = relative(file)
    if place and place.line:
        said |= {"line": place.line, "col": place.col}
    said["title"] = title
    message = ": ".join(part for part in ("" if file else report.name, problem.path, problem.message) if part)
    return f"::error {','.join(f'{key}={_property(str(value))}' for key, value in said.items())}::{_data(message)}"


def _data(text: str) -> str:
    """A command is a line; `%` begins an escape."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Properties end with a comma, and all of them with two colons."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
