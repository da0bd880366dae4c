"""How the data of several items are joined for one call of the encoder: a class for each kind of field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from triptych.errors import InputError
from triptych.inputs.nested import NestedTensors, same_tensors


@dataclass(frozen=True)
class MultiModalBatchedField:
    """An item is one index of dim 0. Tensors that are alike are stacked, even a single one; others stay a list."""

    keep_on_cpu: bool = False

    def apart(self, *_: NestedTensors) -> str:
        """Why two items cannot be joined: nothing keeps these from it."""
        return ""

    def join(self, parts: Sequence[NestedTensors]) -> NestedTensors:
        """[...] of each item -> [items, ...]; stacking by itself would widen dtypes and so change an item."""
        tensors = [part for part in parts if isinstance(part, Tensor)]
        alike = len({(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors}) == 1
        if len(tensors) < len(parts) or not alike:
            return list(parts)
        return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(tensors)


@dataclass(frozen=True)
class MultiModalFlatField:
    """An item is a run along `dim`. Runs are put one after the other; where other dims differ, zeros fill them up."""

    dim: int = 0
    keep_on_cpu: bool = False

    def apart(self, one: NestedTensors, other: NestedTensors) -> str:
        """Why two items cannot be joined; empty where they can."""
        found, wanted = _form(other), _form(one)
        return "" if found == wanted else f"{found} does not go behind {wanted}"

    def join(self, parts: Sequence[NestedTensors]) -> NestedTensors:
        """Runs of n_i of each item -> [sum of n_i, ...]; lists -> one list."""
        tensors = [part for part in parts if isinstance(part, Tensor)]
        if not tensors:
            return [row for part in parts for row in part]
        if len(tensors) == 1:
            return tensors[0]
        dim = self.dim % tensors[0].ndim
        if len({(*tensor.shape[:dim], *tensor.shape[dim + 1 :]) for tensor in tensors}) > 1:
            tensors = _filled_up(tensors, dim)
        return torch.cat(tensors, dim)


@dataclass(frozen=True)
class MultiModalSharedField:
    """All items of a call have the same value, which stands for all of them."""

    keep_on_cpu: bool = False

    def apart(self, one: NestedTensors, other: NestedTensors) -> str:
        """Why two items cannot be joined; empty where they can."""
        return "" if same_tensors(one, other) else "the values that all items should share differ"

    def join(self, parts: Sequence[NestedTensors]) -> NestedTensors:
        """The first value."""
        return parts[0]


MultiModalField: TypeAlias = MultiModalBatchedField | MultiModalFlatField | MultiModalSharedField


@dataclass(frozen=True, eq=False)
class MultiModalFieldElem:
    """What one item has in one field, and by which kind it is joined with that of others."""

    data: NestedTensors
    field: MultiModalField

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MultiModalFieldElem):
            return NotImplemented
        return self.field == other.field and same_tensors(self.data, other.data)

    __hash__ = None  # type: ignore[assignment]  # as for any value that is compared by content of tensors

    def apart(self, other: MultiModalFieldElem) -> str:
        """Why the two cannot be joined; empty where they can."""
        if self.field != other.field:
            return f"{other.field} is not {self.field}"
        return self.field.apart(self.data, other.data)


def join_elems(elems: Sequence[MultiModalFieldElem], path: str = "") -> NestedTensors:
    """One field of several items as the encoder takes it. Raises InputError where their kinds or forms are mixed."""
    if not elems:
        raise InputError("there is no item to join", path=path)
    for place, elem in enumerate(elems):
        if reason := elems[0].apart(elem):
            raise InputError(f"item {place} cannot be joined with item 0: {reason}; encode it by itself", path=path)
    return elems[0].field.join([elem.data for elem in elems])


def _form(data: NestedTensors) -> str:
    """What runs must agree on to be put one after the other."""
    return f"{data.dtype} of {data.ndim} dims on {data.device}" if isinstance(data, Tensor) else "a list"


def _filled_up(tensors: Sequence[Tensor], dim: int) -> list[Tensor]:
    """Each with zeros at the end of every dim but `dim`, up to the largest."""
    largest = [max(sizes) for sizes in zip(*(tensor.shape for tensor in tensors), strict=True)]
    filled = []
    for tensor in tensors:
        shape = [*largest[:dim], tensor.shape[dim], *largest[dim + 1 :]]
        filled.append(tensor.new_zeros(shape))
        filled[-1][tuple(map(slice, tensor.shape))] = tensor
    return filled
