"""A model class that is written by hand as a tree: the components that it marks, down to their lists of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from triptych.assembly.stack import needs_of
from triptych.capabilities.components import Kind, component_map
from triptych.capabilities.construct import construct
from triptych.check.counts import cache_facts, parameters_of
from triptych.check.outline import Node
from triptych.errors import CapabilityError, SpecError, TriptychError
from triptych.parts.cache_needs import CacheNeed
from triptych.runner.needs import complete
from triptych.settings import Settings
from triptych.weights import check_components

ORDER: tuple[Kind, ...] = ("tower", "projector", "language_model", "generator")
SAID = {"width": "width", "vocab_size": "vocabulary", "context": "context"}  # by attributes; what a fact is called


def outline_class(model: type, config: Mapping[str, Any], *, name: str) -> Node:
    """The tree of a class, built for a checkpoint's config without memory.

    Raises SpecError for a config that it cannot be built of; CapabilityError for a component that it does not mark, and
    for what the runner asks of it and does not find.
    """
    module = _built(model, config)
    check_components(module)
    complete(module, config)
    stated: Callable[[], Mapping[str, CacheNeed]] | None = getattr(module, "cache_needs", None)
    cache = cache_facts(stated().values()) if stated else {}
    return Node(name, "model", parameters_of(module), facts=cache, children=tuple(_components(module)))


def _built(model: type, config: Mapping[str, Any]) -> nn.Module:
    try:
        with torch.device("meta"):
            module = construct(model, Settings(config=config))
    except TriptychError:
        raise
    except Exception as error:  # of a class, which may be anybody's
        said = f"{type(error).__name__}: {error}"
        raise SpecError(f"{model.__qualname__} cannot be built without memory for this config: {said}") from error
    if not isinstance(module, nn.Module):
        raise CapabilityError(f"{model.__qualname__} is no torch.nn.Module; it has no components")
    return module


def _components(model: nn.Module) -> Iterator[Node]:
    """In the order of rows; not what `get_mm_mapping` names and this model goes without."""
    kinds = component_map(model).kinds.items()
    for path, kind in sorted(kinds, key=lambda item: ORDER.index(item[1])):
        here: object = model
        for step in filter(None, path.split(".")):
            here = getattr(here, step, None)
        if isinstance(here, nn.Module):
            yield _component(here, path, kind)
        elif isinstance(here, nn.Parameter):
            yield Node(path, kind, here.numel())


def _component(module: nn.Module, path: str, kind: Kind) -> Node:
    facts = {word: value for name, word in SAID.items() if isinstance(value := getattr(module, name, None), int)}
    if kind == "language_model":
        facts |= cache_facts(needs_of(module).values())
    part = type(module).__name__ if path else ""
    return Node(path or kind, kind, parameters_of(module), part=part, facts=facts, children=tuple(_inside(module)))


def _inside(module: nn.Module) -> Iterator[Node]:
    """A node for each child; inside one that holds layers, more."""
    for name, child in module.named_children():
        part = type(child).__name__
        if isinstance(child, nn.ModuleList):
            yield Node(name, "layers", parameters_of(child), children=tuple(_layers(child)))
        else:
            holds = any(isinstance(below, nn.ModuleList) for below in child.modules())
            children = tuple(_inside(child)) if holds else ()
            yield Node(name, "module", parameters_of(child), part=part, children=children)


def _layers(layers: nn.ModuleList) -> Iterator[Node]:
    """Those of one class and one size are one node."""
    alike: dict[tuple[str, int, tuple[tuple[str, int], ...]], list[int]] = {}
    for number, layer in enumerate(layers):
        key = (type(layer).__name__, parameters_of(layer), tuple(cache_facts(needs_of(layer).values()).items()))
        alike.setdefault(key, []).append(number)
    for (name, size, cache), numbers in alike.items():
        yield Node(name, "layer", size, which=tuple(numbers), facts=dict(cache))
