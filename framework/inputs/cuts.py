"""Data of several items -> data of each: one index, a run, or the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import index
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from triptych.errors import InputError, InputTypeError, Problem, short
from triptych.inputs.nested import NestedTensors, is_empty

Run: TypeAlias = tuple[tuple[int, slice], ...]
"""Where an item is: slices, each with the dim that it cuts."""


class Cut(Protocol):
    """A way to cut a field into items."""

    def skips(self, data: NestedTensors) -> bool:
        """Whether the data are none at all, so that there is nothing to cut."""
        ...

    def __call__(self, data: NestedTensors, key: str, /) -> list[NestedTensors]:
        """What each item has, as a view. Raises InputError about `key` for data that cannot be cut so."""
        ...


@dataclass(frozen=True)
class Each:
    """An item is one index of dim 0."""

    def skips(self, data: NestedTensors) -> bool:
        """Whether there is no index."""
        return is_empty(data)

    def __call__(self, data: NestedTensors, key: str) -> list[NestedTensors]:
        """Raises InputError for a single number."""
        if isinstance(data, Tensor) and not data.ndim:
            raise InputError("is a single number; one value for each item is wanted", path=key)
        return [*data]


@dataclass(frozen=True)
class Repeat:
    """Each of so many items is the whole."""

    items: int

    def skips(self, data: NestedTensors) -> bool:
        """Whether the value is empty."""
        return is_empty(data)

    def __call__(self, data: NestedTensors, _key: str) -> list[NestedTensors]:
        """The same object for all."""
        return [data] * self.items


@dataclass(frozen=True)
class Runs:
    """An item is a run along `dim`. `whole`: where the last ends; None where some of the data may be no item's."""

    runs: tuple[Run, ...]
    dim: int = 0
    whole: int | None = None

    def skips(self, data: NestedTensors) -> bool:
        """Whether there is nothing along `dim` and items want something: one of no rows is an item in any batch."""
        wanted = (cut.stop != 0 for run in self.runs for dim, cut in run if dim == self.dim)
        return is_empty(data, self.dim) and (not self.runs or any(wanted))

    def __call__(self, data: NestedTensors, key: str) -> list[NestedTensors]:
        """Raises InputError where a run ends past the data: slicing by itself would shorten the item."""
        shape = data.shape if isinstance(data, Tensor) else (len(data),)
        if problems := [Problem(message, key) for message in self._misfits(shape)]:
            raise InputError(problems)
        return [_taken(data, run) for run in self.runs]

    def _misfits(self, shape: Sequence[int]) -> Iterator[str]:
        rank = len(shape)
        dims = {self.dim, *(dim for run in self.runs for dim, _ in run)}
        if lost := sorted(dims - {*range(-rank, rank)}):
            yield f"items are runs along dim {lost[0]}, and there are {rank} dims (a list has 1)"
            return
        if self.whole is not None and self.whole != shape[self.dim]:
            yield f"sizes of items add up to {self.whole}, and dim {self.dim} has {shape[self.dim]}"
            return
        for place, run in enumerate(self.runs):
            for dim, cut in run:
                bounds = [bound for bound in (cut.start, cut.stop) if bound is not None]
                if any(not -shape[dim] <= bound <= shape[dim] for bound in bounds):
                    yield f"item {place} is {_written(cut)} of dim {dim}, which has {shape[dim]}"


def run_of(found: slice | Sequence[slice], dim: int, path: str) -> Run:
    """A run as a model writes it: one slice along `dim`, or one for each dim from the first on.

    Raises InputError for a slice that goes backwards, InputTypeError for what is no slice of whole numbers.
    """
    if isinstance(found, slice):
        return ((dim, _plain(found, path)),)
    if isinstance(found, list | tuple):
        return tuple((place, _plain(cut, f"{path}[{place}]")) for place, cut in enumerate(found))
    raise InputTypeError(f"is {short(found)}; a slice, or one for each dim, is wanted", path=path)


def runs_of_sizes(sizes: Tensor, dim: int, path: str) -> Runs:
    """Runs of these sizes [items], one after the other. Raises InputError unless they are whole numbers from 0 up."""
    if not isinstance(sizes, Tensor):
        raise InputTypeError(f"are {type(sizes).__name__}; a tensor [items] of whole numbers is wanted", path=path)
    if sizes.ndim != 1:
        raise InputError(f"are {list(sizes.shape)}; one dim, [items], is wanted", path=path)
    whole = not (sizes.is_floating_point() or sizes.is_complex() or sizes.dtype == torch.bool)
    if len(sizes) and not whole:  # an empty tensor is float where nothing else is said
        raise InputTypeError(f"are {sizes.dtype}; whole numbers are wanted", path=path)
    lengths: list[int] = sizes.tolist()
    if any(length < 0 for length in lengths):
        raise InputError(f"are {short(lengths)}; sizes from 0 up are wanted", path=path)
    ends = list(accumulate(lengths, initial=0))
    return Runs(tuple(((dim, slice(*both)),) for both in pairwise(ends)), dim, whole=ends[-1])


def _plain(cut: object, path: str) -> slice:
    """With plain numbers for those of tensors and arrays."""
    if isinstance(cut, slice):
        try:
            bounds = [None if bound is None else index(bound) for bound in (cut.start, cut.stop, cut.step)]
        except TypeError as error:
            raise InputTypeError(f"is {short(cut)}; bounds are whole numbers", path=path) from error
        if bounds[2] is not None and bounds[2] < 1:
            raise InputError(f"is {short(cut)}; an item goes forwards", path=path)
        return slice(*bounds)
    raise InputTypeError(f"is {short(cut)}; a slice is wanted", path=path)


def _written(cut: slice) -> str:
    return ":".join("" if bound is None else str(bound) for bound in (cut.start, cut.stop))


def _taken(data: NestedTensors, run: Run) -> NestedTensors:
    for dim, cut in run:
        data = data[(slice(None),) * (dim % data.ndim) + (cut,)] if isinstance(data, Tensor) else data[cut]
    return data
