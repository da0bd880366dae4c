"""Specs as models: which architectures they claim, what each can do, and the class that is made of one.

Nothing here imports torch; the class is made where models are built, by name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from triptych.registry import spec_troubles
from triptych.registry.model_info import ModelInfo
from triptych.registry.models import Spec
from triptych.registry.resolution import Resolver
from triptych.registry.suffixes import Conversion
from triptych.spec.catalog import catalog, unreadable
from triptych.spec.document import Tree
from triptych.spec.facts import model_info
from triptych.spec.mapping import tree_of
from triptych.spec.merge import inherited, load_tree

MADE_BY = "triptych.assembly.model_class:model_class"
CONVERTED_BY = "triptych.assembly.conversion:converted_class"


@dataclass(frozen=True, eq=False)
class SpecOffer:
    """A spec that serves an architecture: the path of its file, or a mapping. It is read when it is asked."""

    architecture: str
    spec: Spec

    @property
    def name(self) -> str:
        """What the spec is called in messages: its file's name, else its architecture."""
        return self.spec.stem if isinstance(self.spec, Path) else self.architecture

    @property
    def origin(self) -> str:
        return str(self.spec) if isinstance(self.spec, Path) else f"the mapping registered for {self.architecture}"

    @cached_property
    def tree(self) -> Tree:
        """The spec with all that it inherits. Raises SpecError for its form, unknown bases and cycles."""
        if isinstance(self.spec, Path):
            return load_tree(self.spec)
        return inherited(tree_of(self.spec, origin=self.origin))

    @cached_property
    def _info(self) -> ModelInfo:
        return model_info(self.tree, architecture=self.architecture)

    @cached_property
    def _class(self) -> type:
        made: type = _named(MADE_BY)(self.tree, name=self.name, architecture=self.architecture)
        return made

    def inspect(self) -> ModelInfo:
        """What it can do, by its structure and by what it declares. Raises SpecError."""
        return self._info

    def load(self) -> type:
        """The model class that is made of it, the same one each time. Raises SpecError."""
        return self._class


class SpecModels:
    """The catalog of specs, as a resolver asks it."""

    def __init__(self) -> None:
        self._offers: dict[tuple[str, Path | int], SpecOffer] = {}

    def architectures(self) -> dict[str, list[Spec]]:
        """Architecture -> the files of the specs that claim it."""
        found: dict[str, list[Spec]] = {}
        for listed in catalog().values():
            for architecture in listed.architectures:
                found.setdefault(architecture, []).append(Path(os.path.realpath(listed.path)))
        return found

    def offer(self, architecture: str, spec: Spec) -> SpecOffer:
        """One spec as a model; the same one each time."""
        key = (architecture, spec if isinstance(spec, Path) else id(spec))  # an offer keeps its mapping, and so the id
        return self._offers.setdefault(key, SpecOffer(architecture, spec))

    def troubles(self) -> list[str]:
        """Why some registered specs claim nothing: two folders offer them, or they cannot be read."""
        return [*spec_troubles(), *unreadable()]


@cache
def resolver() -> Resolver:
    """What answers for all that is registered in this process: classes and specs, by decorator, call or entry point."""
    known = (how for how in get_args(Conversion) if how != "none")
    return Resolver(SpecModels(), conversions={how: partial(_converted, conversion=how) for how in known})


def _converted(model: type, *, conversion: str) -> type:
    made: type = _named(CONVERTED_BY)(model, conversion=conversion)
    return made


def _named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
