"""Reports as JUnit XML: a suite a spec, a case a rung."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree as ET

from triptych.cli.reports.paths import relative
from triptych.spec.rungs import Report, Rung

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 has no way to hold


def lines(reports: Iterable[Report]) -> Iterator[str]:
    """One document of all reports, in ASCII."""
    root = ET.Element("testsuites", name="triptych")
    for report in reports:
        root.append(_suite(report))
    for key in ("tests", "failures", "skipped"):
        root.set(key, str(sum(int(suite.get(key, 0)) for suite in root)))
    ET.indent(root)
    yield from ET.tostring(root, encoding="us-ascii", xml_declaration=True).decode("ascii").split("\n")


def _suite(report: Report) -> ET.Element:
    states = [rung.state for rung in report.rungs]
    counts = {"failures": states.count("failed"), "errors": 0, "skipped": states.count("skipped")}
    suite = ET.Element("testsuite", name=_text(report.name), tests=str(len(states)))
    for key, count in counts.items():
        suite.set(key, str(count))
    suite.extend(_case(rung, report) for rung in report.rungs)
    return suite


def _case(rung: Rung, report: Report) -> ET.Element:
    case = ET.Element("testcase", classname=_text(report.name), name=rung.name)
    place = next((problem.place for problem in rung.problems if problem.place), None)
    if file := place.file if place else report.file:
        case.set("file", _text(relative(file)))
    if place and place.line:
        case.set("line", str(place.line))
    if rung.problems:
        message = f"{len(rung.problems)} problems" if len(rung.problems) > 1 else str(rung.problems[0])
        failure = ET.SubElement(case, "failure", message=_text(message), type=rung.name)
        failure.text = _text("\n".join(map(str, rung.problems)))
    elif rung.skipped:
        ET.SubElement(case, "skipped", message=_text(rung.skipped))
    if rung.notes:
        ET.SubElement(case, "system-out").text = _text("\n".join(rung.notes))
    return case


def _text(text: str) -> str:
    return FORBIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
