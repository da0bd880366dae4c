"""Where the components of a model stand: which prefixes of its modules' names are of which kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from triptych.errors import CapabilityError, Problem, short

Kind = Literal["language_model", "projector", "tower", "generator"]


@dataclass(frozen=True, kw_only=True)
class ComponentMap:
    """Prefixes of names by kind, each some whole steps of a name; the empty prefix stands for the whole model.

    Raises CapabilityError for a prefix of two kinds, and for what is no prefix.
    """

    language_model: str
    projectors: tuple[str, ...] = ()
    towers: tuple[str, ...] = ()
    generators: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if problems := [*self._wrong_types()] or [*self._twice()]:
            raise CapabilityError(problems)

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each prefix, written without the dot that it may end in."""
        return {prefix.removesuffix("."): kind for kind, prefix in self._entries()}

    def locate(self, name: str) -> str | None:
        """The longest prefix that a module's or a tensor's name stands at or below; None when it is in no component."""
        steps, kinds = name.split("."), self.kinds
        above = (".".join(steps[:length]) for length in range(len(steps), -1, -1))
        return next((prefix for prefix in above if prefix in kinds), None)

    def find(self, name: str) -> Kind | None:
        """The kind of the component that a name stands in; None when it is in none."""
        prefix = self.locate(name)
        return None if prefix is None else self.kinds[prefix]

    def _entries(self) -> Iterator[tuple[Kind, str]]:
        yield "language_model", self.language_model
        yield from (("projector", prefix) for prefix in self.projectors)
        yield from (("tower", prefix) for prefix in self.towers)
        yield from (("generator", prefix) for prefix in self.generators)

    def _wrong_types(self) -> Iterator[Problem]:
        if not isinstance(self.language_model, str):
            found = short(self.language_model)
            yield Problem(
                f"a model has exactly one language model, and its prefix is text, not {found}", "language_model"
            )
        for key in ("projectors", "towers", "generators"):
            value: object = getattr(self, key)
            if not isinstance(value, tuple) or not all(isinstance(prefix, str) for prefix in value):
                yield Problem(f"a tuple of prefixes is wanted, not {short(value)}", key)

    def _twice(self) -> Iterator[Problem]:
        seen: dict[str, Kind] = {}
        for kind, prefix in self._entries():
            if (other := seen.setdefault(prefix.removesuffix("."), kind)) != kind:
                yield Problem(f"{prefix!r} is a {kind} and a {other}; a component is of one kind")


def component_map(model: object) -> ComponentMap:
    """What the model itself says (`get_mm_mapping`); one without components is a language model as a whole."""
    own = getattr(model, "get_mm_mapping", None)
    if own is None:
        return ComponentMap(language_model="")
    found: object = own()
    if not isinstance(found, ComponentMap):
        raise CapabilityError(f"{type(model).__qualname__}.get_mm_mapping gives {short(found)}, not a ComponentMap")
    return found
