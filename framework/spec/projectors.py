"""Projectors worked out: an ordered program of steps each, norms among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from triptych.errors import suggest
from triptych.spec.document import Tree
from triptych.spec.scope import Collector, Scope
from triptych.spec.stack import StackPlan
from triptych.spec.steps import Steps, plan_steps


def plan_projectors(scope: Scope, section: str = "projectors") -> dict[str, Steps]:
    """The steps of each projector of a spec. Raises SpecError with every mistake of the first that has some."""
    sections = scope.tree.get(section) or Tree()
    given = {key: steps for key, steps in sections.items() if steps is not None}
    return {key: plan_steps(scope.at(section, key), steps, sections.values_at.get(key)) for key, steps in given.items()}


def plan_deepstack(scope: Scope, towers: Mapping[str, StackPlan], projectors: Mapping[str, Steps]) -> dict[str, Steps]:
    """The steps for each tap of a tower, by tower. Raises SpecError where towers, taps and these do not go together."""
    found, problems = plan_projectors(scope, "deepstack"), Collector()
    places = (scope.tree.get("deepstack") or Tree()).keys_at
    for name in found:
        with problems.catching():
            if wrong := _wrong(name, towers, projectors):
                scope.at("deepstack", name).fail(wrong, places.get(name))
    problems.check()
    return {name: steps for name, steps in found.items() if towers[name].output.taps}


def untapped(towers: Mapping[str, StackPlan], deepstack: Iterable[str]) -> dict[str, StackPlan]:
    """The same towers, which hand out the rows of their taps only where these are asked for."""
    return {
        name: tower if name in deepstack else replace(tower, output=tower.output.model_copy(update={"taps": None}))
        for name, tower in towers.items()
    }


def check_added(scope: Scope, deepstack: Iterable[str], towers: Mapping[str, StackPlan], *, layers: int) -> None:
    """Raise SpecError for a tower with more taps than the language model has `layers` to add them after."""
    for name in deepstack:
        if (taps := len(towers[name].tapped)) > layers:
            message = f"the rows of {taps} taps are added after as many layers; the language model has {layers}"
            scope.at("deepstack", name).fail(message, (scope.tree.get("deepstack") or Tree()).keys_at.get(name))


def _wrong(name: str, towers: Mapping[str, StackPlan], projectors: Mapping[str, Steps]) -> str:
    """What is wrong with the taps of a tower, or with their projectors."""
    if name not in towers:
        return f"no tower {name!r} gives it rows{suggest(name, towers)}"
    if towers[name].output.taps is None:
        return f"tower {name!r} hands out no rows beside those of its end; its `output` says of which layers: `taps`"
    if name not in projectors:
        return f"the rows of the end of tower {name!r} have no projector, and those beside them have"
    return ""
