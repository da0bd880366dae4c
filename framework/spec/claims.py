"""What a spec says under `capabilities`, against what its own structure shows. No config, no torch, nothing built."""

from __future__ import annotations

from collections.abc import Iterator

from triptych.errors import CapabilityError, Problem
from triptych.spec.document import Tree
from triptych.spec.facts import capabilities_of, declared, score_type, shown


def claim_problems(tree: Tree) -> Iterator[Problem]:
    """What a spec denies and shows, and two kinds of score, each at its place. Raises SpecError for a wrong form.

    That what it says beyond its structure has its members, only a built model can prove.
    """
    said, places = declared(tree), getattr(tree.get("capabilities"), "values_at", {})
    for name in shown(tree):
        if said.get(name) is False:
            yield Problem("the spec denies it, and its structure shows it", f"capabilities.{name}", places.get(name))
    try:
        score_type(capabilities_of(tree))
    except CapabilityError as error:
        at = max((places[name] for name in said if said[name] and name in places), default=None)
        yield Problem(str(error), "capabilities", at)
