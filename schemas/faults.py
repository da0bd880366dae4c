"""What validation finds wrong: collected, so that all of it is told together."""

from __future__ import annotations

from dataclasses import dataclass

from triptych.errors import Problem

MAX_FAULTS = 10  # of one field: a list may hold a million items of the wrong type


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the values of a schema.

    `wrong_type`: it is a matter of a Python type. `stricter`: the convention that ported schemas follow lets it pass.
    """

    problem: Problem
    wrong_type: bool = False
    stricter: bool = False


def capped(faults: list[Fault], name: str) -> list[Fault]:
    """The first faults of a field, and how many more there are; one that the convention lets pass hides no other."""
    if len(faults) <= MAX_FAULTS:
        return faults
    first = sorted(faults, key=lambda fault: fault.stricter)[:MAX_FAULTS]
    more = f"... and {len(faults) - MAX_FAULTS} more"
    return [*first, Fault(Problem(more, name), stricter=first[-1].stricter)]
