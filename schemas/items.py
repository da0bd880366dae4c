"""The schema of one item, and items held to it: each is one tensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from triptych.errors import InputError, InputTypeError, Problem, SchemaError
from triptych.schemas.faults import Fault
from triptych.schemas.fields import PlainField, ShapeField
from triptych.schemas.measure import expected
from triptych.schemas.plan import Plan, innermost
from triptych.schemas.schema import TensorSchema, plan_of
from triptych.schemas.shape import TensorShape
from triptych.schemas.union import TaggedUnion, tagged_union
from triptych.schemas.values import is_tensor, told

TAG = "type"  # the field whose literal tells the schemas of an item apart


@dataclass(frozen=True)
class ItemSchema:
    """What one item of a modality is: `taken` by the tower, or one of `others`, which stands for one already encoded.

    Raises SchemaError when `taken` asks for more than one tensor, or `type` does not tell them apart by its literals.
    """

    taken: type[TensorSchema]
    others: tuple[type[TensorSchema], ...] = ()

    def __post_init__(self) -> None:
        if len(self._tensors) != 1:
            found = ", ".join(field.name for field in self._tensors) or "none"
            message = f"a tower takes one tensor for an item; this schema has these required fields: {found}"
            raise SchemaError(message, path=self.taken.__qualname__)
        if self.others:
            tagged_union(TAG, self.taken, *self.others)

    @property
    def union(self) -> type[TensorSchema] | TaggedUnion[TensorSchema]:
        """All that an item may be, as one schema."""
        return tagged_union(TAG, self.taken, *self.others) if self.others else self.taken

    @property
    def shape(self) -> TensorShape:
        """The shape of the tensor that the tower takes."""
        return self._tensors[0].shape

    def check(self, items: Iterable[object], *, modality: str) -> None:
        """Hold each item to what the tower takes. No value inside a tensor is read, so no device is waited for.

        Raises InputError, also a TypeError when one is no tensor, with all faults, each under `modality[number]`.
        """
        faults = list[Fault]()
        for number, item in enumerate(items):
            if found := self._faults(item):
                faults += [_at(fault, self._name, f"{modality}[{number}]") for fault in found]
        if faults:
            kind = InputTypeError if any(fault.wrong_type for fault in faults) else InputError
            raise kind(fault.problem for fault in faults)

    def _faults(self, item: object) -> list[Fault]:
        if is_tensor(item):
            return self._plan.faults({**self._words, self._name: item}, {})
        message = f"expected a tensor of shape {expected(self.shape, {})}, found {told(item)}"
        return [Fault(Problem(message, self._name), wrong_type=True)]

    @cached_property
    def _plan(self) -> Plan:
        return plan_of(self.taken)

    @cached_property
    def _name(self) -> str:
        return self._tensors[0].name

    @cached_property
    def _tensors(self) -> list[ShapeField]:
        required = [field for field in self._plan.fields.values() if not field.optional and field.default is None]
        return [field for field in map(innermost, required) if isinstance(field, ShapeField)]

    @cached_property
    def _words(self) -> dict[str, Any]:
        """The first word of each literal: the item itself says none."""
        fields = map(innermost, self._plan.fields.values())
        return {f.name: f.literals[0] for f in fields if isinstance(f, PlainField) and f.literals}


def _at(fault: Fault, name: str, path: str) -> Fault:
    problem = fault.problem
    return replace(fault, problem=replace(problem, path=problem.path.replace(name, path, 1)))
