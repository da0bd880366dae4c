"""Whether the constructor of a multimodal model has marked all of its components, and marked what is there."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from triptych.arguments import check_arguments
from triptych.capabilities.components import component_map
from triptych.capabilities.marking import LANGUAGE_MODEL, MarksComponents
from triptych.errors import CapabilityError, Problem, suggest
from triptych.weights.stages import StageMissingLayer, present

NO_MARK = (
    "has parameters and is marked neither as a tower nor as the language model; "
    "assign it in a context, or name it in get_mm_mapping"
)


def check_components(model: nn.Module) -> None:
    """Raise CapabilityError with everything in `component_report`; for whoever builds a model, once it is built."""
    if found := component_report(model):
        raise CapabilityError(found)


def component_report(model: nn.Module) -> list[Problem]:
    """What a built model marks or names and does not have, or has and does not mark.

    A child counts as marked when something in it is, and when the class's own `get_mm_mapping` names it. What that
    names is a module, a parameter, or an attribute that is None where this model goes without.
    """
    check_arguments(model=(model, nn.Module))
    name = type(model).__qualname__
    return [Problem(f"{name}: {message}", path) for path, message in _findings(model)]


def _findings(model: nn.Module) -> Iterator[tuple[str, str]]:
    if not hasattr(model, "get_mm_mapping"):
        return
    for stage_name in getattr(model, "_idle_marks", ()):
        yield "", f"a context marks a {stage_name}, and nothing is assigned in it that could be one"
    language, towers = getattr(model, "_language_model_names", ()), getattr(model, "_tower_model_names", ())
    for path in (*language, *towers):
        if message := _misplaced(model, path, is_tower=path in towers):
            yield path, message
    own = getattr(type(model), "get_mm_mapping", None) is not MarksComponents.get_mm_mapping
    named = component_map(model).kinds if own else {}
    for path, kind in named.items():
        if message := _nowhere(model, path):
            yield path, f"get_mm_mapping names it as a {kind}, and {message}"
    known = [*language, *towers, *named]
    for child, module in model.named_children():
        if next(module.parameters(), None) is not None and not any(_related(child, path) for path in known):
            yield child, NO_MARK


def _misplaced(model: nn.Module, path: str, *, is_tower: bool) -> str:
    """What is wrong with the place that a marked name leads to; empty when nothing is."""
    here, around = model, None
    for step in path.split("."):
        if isinstance(here, StageMissingLayer):
            around, here = here, present(here)
        child = here._modules.get(step)
        if child is None:
            return "is marked, and the model no longer has it"
        here = child
    if around is None or isinstance(here, StageMissingLayer) or (around.stage_name == LANGUAGE_MODEL) != is_tower:
        return ""
    return f"stands in what is left out as {around.stage_name}, and is built by itself; narrow the targets"


def _nowhere(model: nn.Module, path: str) -> str:
    """Where a named prefix stops leading anywhere; empty when it leads to something, or to None."""
    here: object = model
    steps = path.split(".") if path else []
    for number, step in enumerate(steps):
        owner = present(here) if isinstance(here, nn.Module) else nn.Module()  # which has nothing
        here = getattr(owner, step, ...)
        if not isinstance(here, nn.Module | Tensor | None):
            nearest = suggest(step, [name for name, _ in owner.named_children()])
            return f"{'.'.join(steps[:number]) or 'the model'} has no module {step!r}{nearest}"
    return ""


def _related(a: str, b: str) -> bool:
    """Whether one of two paths stands at or below the other, in whole steps; the empty path is above all."""
    short, long = sorted((a, b), key=len)
    return not short or f"{long}.".startswith(f"{short}.")
