"""Reports for programs. Every key is always there; what is not known is null."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from triptych.errors import Problem
from triptych.spec.rungs import Report


def lines(reports: Iterable[Report]) -> Iterator[str]:
    """One list of all reports."""
    yield from json.dumps([_report(report) for report in reports], indent=2).splitlines()


def _report(report: Report) -> dict[str, object]:
    rungs = [
        {
            "rung": rung.name,
            "number": rung.number,
            "state": rung.state,
            "problems": [_problem(problem, report) for problem in rung.problems],
            "notes": rung.notes,
            "skipped": rung.skipped,
        }
        for rung in report.rungs
    ]
    return {"spec": report.name, "file": report.file or None, "passed": report.passed, "rungs": rungs}


def _problem(problem: Problem, report: Report) -> dict[str, object]:
    place = problem.place
    line, column = (place.line, place.col) if place and place.line else (None, None)
    file = place.file if place else report.file or None
    return {"file": file, "line": line, "column": column, "path": problem.path, "message": problem.message}
