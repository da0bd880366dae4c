"""What does not fit a model that was written by hand: what is missing, and all findings component by component."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from triptych.errors import Problem
from triptych.weights.shards import Finding
from triptych.weights.slots import Slots

MAX_NAMED = 20  # of one component
MAX_ABSENT = 10


def missing(slots: Slots, seen: Mapping[str, Set[int]], aliases: Mapping[str, str]) -> Iterator[Finding]:
    """Parameters that nothing is given to; `seen`: the pieces given of each, `aliases`: its first name -> another."""
    for slot in slots.required():
        if slot.name not in seen:
            other = aliases.get(slot.name)
            why = f"; {other}, which is the same parameter, is there, and only its first name loads" if other else ""
            yield Finding("missing", slot.name, f"nothing is loaded to it{why}", wanted=slot.name)
        elif left := sorted(set(range(len(slot.pieces))) - seen[slot.name]):
            text = f"nothing is loaded to pieces {', '.join(map(str, left))} of {len(slot.pieces)}"
            yield Finding("missing", slot.name, text, wanted=slot.name)


def problems(findings: Iterable[Finding], *, absent: Iterable[str], subject: str) -> list[Problem]:
    """A head and a line for each finding, by the first step of its path; then what is not built on purpose."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.path.partition(".")[0], []).append(finding)
    found = [problem for component in sorted(groups) for problem in _group(subject, component, groups[component])]
    return [*found, *_skipped(subject, list(absent))] if found else []


def _group(subject: str, component: str, findings: list[Finding]) -> Iterator[Problem]:
    yield Problem(f"{subject}: {component}: {len(findings)} tensors do not fit")
    yield from (Problem(f"{f.fault}: {f.message}", f"  {f.path}") for f in findings[:MAX_NAMED])
    if len(findings) > MAX_NAMED:
        yield Problem(f"  ... and {len(findings) - MAX_NAMED} more")


def _skipped(subject: str, absent: list[str]) -> Iterator[Problem]:
    if absent:
        more = f" and {len(absent) - MAX_ABSENT} more" if len(absent) > MAX_ABSENT else ""
        yield Problem(f"{subject}: skipped on purpose: {', '.join(absent[:MAX_ABSENT])}{more}")
