"""Which parameters a stage trains, and at which rate: components by name, the longest path counting. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from triptych.errors import Problem, suggest
from triptych.spec.plan import ModelPlan
from triptych.spec.stack import StackPlan
from triptych.training.forms import StageForm, TrainForm

Told = TypeVar("Told")
KINDS = {"tower": "towers", "vision_tower": "towers.image", "projector": "projectors"}  # beside paths, as groups say it


def path_of(name: str) -> str:
    """The path of modules that a component's name means: a path means itself."""
    return KINDS.get(name, name)


def outlined(plan: ModelPlan) -> set[str]:
    """The paths down to layers of all that a model will be made of. What is below them is known when it is built."""
    if plan.language_model is None:
        return set()
    if not plan.towers:
        return {"language_model", *_of_stack(plan.language_model, "")}
    found = {"towers", "language_model", *_of_stack(plan.language_model, "language_model.")}
    for name, tower in plan.towers.items():
        found |= {f"towers.{name}", *_of_stack(tower, f"towers.{name}.")}
    return found | {f"projectors.{name}" for name in plan.projectors} | ({"projectors"} if plan.projectors else set())


def _of_stack(plan: StackPlan, below: str) -> set[str]:
    there = {"embed": True, "layers": True, "norm": plan.norm, "head": plan.head}
    layers = {f"{below}layers.{number}" for number in range(len(plan.layers))}
    return layers | {f"{below}{name}" for name, part in there.items() if part}


def begin_problems(train: TrainForm, known: set[str], *, checkpoint: bool) -> Iterator[Problem]:
    """What is wrong with the values that training begins from; those of a checkpoint are what they are."""
    if train.begin and checkpoint:
        told = "the checkpoint's values are what training begins from; without one, they are random"
        yield Problem(told, "train.begin")
    yield from _unknown(train.begin, known, at="train.begin")


def stage_problems(stage: StageForm, known: set[str], *, at: str) -> Iterator[Problem]:
    """What is wrong with a stage of a model of which these paths are `known`; `at` is where the stage stands."""
    if (stage.steps is None) == (stage.epochs is None):
        yield Problem("one of `steps` and `epochs` says how long the stage is", at)
    if not stage.train:
        yield Problem("trains nothing, so that all is frozen; name a component and its learning rate", f"{at}.train")
    elif known and all(_is_below(path_of(name), map(path_of, stage.freeze)) for name in stage.train):
        told = f"all that it trains ({', '.join(stage.train)}) is frozen"
        yield Problem(f"{told}; a stage that freezes everything learns nothing", f"{at}.freeze")
    for key, names in (("train", [*stage.train]), ("freeze", stage.freeze), ("lora", [*stage.lora])):
        yield from _unknown(names, known, at=f"{at}.{key}")
    for name in stage.lora:
        if not _is_below(path_of(name), map(path_of, stage.train)):
            yield Problem(f"{name!r} is not trained; name its learning rate in `train`", f"{at}.lora")


def _unknown(names: Iterable[str], known: set[str], *, at: str) -> Iterator[Problem]:
    for name in names:
        if known and not is_known(name, known):
            yield Problem(f"this model has no component {name!r}{suggest(name, {*known, *KINDS})}", at)


def is_known(name: str, known: set[str]) -> bool:
    """Whether a name is that of a component, or stands below a part whose inside is not known yet."""
    path = path_of(name)
    if path in known:
        return True
    above = path.rpartition(".")[0]
    inside = any(other.startswith(f"{above}.") for other in known)
    return bool(above) and not inside and is_known(above, known) and above not in {"towers", "projectors"}


def rates_of(stage: StageForm, paths: Iterable[str]) -> dict[str, tuple[str, float]]:
    """The component and the rate of each of the parameters that are trained, by their paths.

    `language_model` means all of a model that is nothing else.
    """
    listed = [*paths]
    whole = not any(_is_below(path, ["language_model"]) for path in listed)
    rates = {_meant(path_of(name), whole): (name, rate) for name, rate in stage.train.items()}
    frozen = {_meant(path_of(name), whole) for name in stage.freeze}
    found = dict[str, tuple[str, float]]()
    for path in listed:
        at = longest(path, [*rates, *frozen])
        if at is not None and at not in frozen:
            found[path] = rates[at]
    return found


def longest(path: str, names: Iterable[str]) -> str | None:
    """The longest of the names at or above a path; '' stands above all."""
    return max((name for name in names if _is_below(path, [name])), key=len, default=None)


def without_parameters(names: Iterable[str], paths: Iterable[str]) -> list[str]:
    """The names of components below which a model that is built has no parameter."""
    listed = [*paths]
    whole = not any(_is_below(path, ["language_model"]) for path in listed)
    at = {name: [_meant(path_of(name), whole)] for name in names}
    return [name for name, above in at.items() if not any(_is_below(path, above) for path in listed)]


def lora_of(stage: StageForm, paths: Iterable[str]) -> Mapping[str, str]:
    """By path of a parameter that matrices may stand beside, the name in `lora` that means it."""
    return by_path({name: name for name in stage.lora}, paths)


def by_path(told: Mapping[str, Told], paths: Iterable[str]) -> dict[str, Told]:
    """What is told of components, by path of each parameter that something is told of."""
    listed = [*paths]
    whole = not any(_is_below(path, ["language_model"]) for path in listed)
    meant = {_meant(path_of(name), whole): value for name, value in told.items()}
    return {path: meant[at] for path in listed if (at := longest(path, meant)) is not None}


def _meant(path: str, whole: bool) -> str:
    return path.removeprefix("language_model").removeprefix(".") if whole else path


def _is_below(path: str, names: Iterable[str]) -> bool:
    """Whether a path is one of the names, or stands below one."""
    return any(not name or path == name or path.startswith(f"{name}.") for name in names)
