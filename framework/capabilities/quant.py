"""Models that are built with quantised weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from triptych.capabilities.members import class_of


@runtime_checkable
class QuantSettings(Protocol):
    """How weights are quantised, with names of modules as the checkpoint spells them."""

    def renamed(self, mapper: Any, packed_modules_mapping: Mapping[str, Sequence[str]]) -> Self:
        """The same with names as the model spells them: mapped by `mapper`, which only renames and may be None, and
        with the model's fused modules known by their pieces."""
        ...


class SupportsQuant:
    """Mixin: an instance finds the quantisation settings among its constructor's arguments, in its own names.

    They are an argument that is QuantSettings, or stand in an argument's attribute `quant_config`. What is given stays
    as it was: outer and inner models rename the same settings each for itself.
    """

    hf_to_triptych_mapper: ClassVar[Any] = None
    packed_modules_mapping: dict[str, list[str]] = {}  # noqa: RUF012 (an instance may hold its own)
    quant_config: QuantSettings | None = None

    def __new__(cls, *args: object, **keywords: object) -> Self:
        self = super().__new__(cls)
        found = _find([*args, *keywords.values()])
        if found is not None:
            mapper = cls.hf_to_triptych_mapper
            renaming = None if mapper is None else mapper.get_rename_mapper()
            self.quant_config = found.renamed(renaming, cls.packed_modules_mapping)
        return self


def supports_quant(model: object) -> bool:
    """Whether a class or instance has the mixin."""
    return issubclass(class_of(model), SupportsQuant)


def _find(arguments: Sequence[object]) -> QuantSettings | None:
    candidates = [c for a in arguments for c in (a, getattr(a, "quant_config", None))]
    return next((c for c in candidates if isinstance(c, QuantSettings)), None)
