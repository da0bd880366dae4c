"""A program of steps worked out, norms among them. A projector is one, and what pools the rows of a tower."""

from __future__ import annotations

from triptych.errors import Place
from triptych.registry import part_names
from triptych.spec.base import PartSpec
from triptych.spec.document import Tree
from triptych.spec.scope import Collector, Scope

Steps = tuple[tuple[str, str, PartSpec], ...]
"""Name, kind and Spec of each step."""


def plan_steps(scope: Scope, steps: object, place: Place | None) -> Steps:
    """The steps of a program, written in place or named. Raises SpecError with every mistake."""
    if isinstance(steps, str):
        steps = scope.named("programs", scope.value(steps, place), place)
    assert isinstance(steps, Tree)
    found, problems = [], Collector()
    for name, step in steps.items():
        with problems.catching():
            if step is not None:
                at = steps.values_at.get(name)
                kind = _kind(scope.at(name), step, at)
                found.append((name, kind, scope.at(name).part(kind, step, at)[1]))
    problems.check()
    return tuple(found)


def _kind(scope: Scope, step: object, place: Place | None) -> str:
    """A norm is a step too."""
    tree = scope.derived("parts", step if isinstance(step, Tree) else Tree({"like": scope.value(step, place)}))[1]
    use = scope.value(tree.get("use"), tree.values_at.get("use"))
    return "norm" if use in part_names("norm") else "projector"
