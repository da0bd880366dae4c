"""Reports as SARIF 2.1.0, the format of code-scanning alerts: a rule a rung, a result a problem."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version

from triptych.cli.reports.paths import uri
from triptych.errors import Problem
from triptych.spec.rungs import RUNGS, Report, Rung

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def lines(reports: Iterable[Report]) -> Iterator[str]:
    """One log of one run."""
    results = [_result(p, rung, report) for report in reports for rung in report.rungs for p in rung.problems]
    driver = {"name": "triptych", "version": version("triptych"), "rules": [_rule(name) for name in RUNGS]}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    yield from json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2).splitlines()


def _rule(name: str) -> dict[str, object]:
    text = {"text": f"{RUNGS[name][0].upper()}{RUNGS[name][1:]}."}
    return {"id": name, "name": name.title(), "shortDescription": text, "defaultConfiguration": {"level": "error"}}


def _result(problem: Problem, rung: Rung, report: Report) -> dict[str, object]:
    message = ": ".join(part for part in (problem.path, problem.message) if part)
    return {
        "ruleId": rung.name,
        "ruleIndex": rung.number - 1,
        "level": "error",
        "message": {"text": message},
        "locations": [_location(problem, report)],
        "partialFingerprints": {"problem/v1": _fingerprint(problem, rung, report)},
    }


def _location(problem: Problem, report: Report) -> dict[str, object]:
    found: dict[str, object] = {}
    place = problem.place
    if file := place.file if place else report.file:
        physical: dict[str, object] = {"artifactLocation": {"uri": uri(file)}}
        if place and place.line:
            physical["region"] = {"startLine": place.line, "startColumn": place.col}
        found["physicalLocation"] = physical
    found["logicalLocations"] = [{"fullyQualifiedName": problem.path or report.name}]
    return found


def _fingerprint(problem: Problem, rung: Rung, report: Report) -> str:
    """The same as lines come and go above it, so that one problem stays one alert."""
    file = problem.place.file if problem.place else report.file
    parts = (rung.name, uri(file) if file else report.name, problem.path, problem.message)
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()
