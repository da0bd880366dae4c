"""How a field of a processor's output is cut into items: what a model says of each key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from triptych.errors import InputError
from triptych.inputs.cuts import Cut, Each, Repeat, Runs, run_of, runs_of_sizes
from triptych.inputs.kinds import (
    MultiModalBatchedField,
    MultiModalField,
    MultiModalFieldElem,
    MultiModalFlatField,
    MultiModalSharedField,
)
from triptych.inputs.nested import as_tensors


@dataclass(frozen=True)
class MultiModalFieldConfig:
    """Of which modality a field is, how it is cut into items and how it is joined again.

    With `keep_on_cpu` it stays in host memory when the others go to a device.
    """

    modality: str
    field: MultiModalField
    cut: Cut

    @classmethod
    def batched(cls, modality: str, *, keep_on_cpu: bool = False) -> MultiModalFieldConfig:
        """One index of dim 0 an item: [items, ...], or a list with one value for each."""
        return cls(modality, MultiModalBatchedField(keep_on_cpu), Each())

    @classmethod
    def flat(
        cls, modality: str, slices: Sequence[slice | Sequence[slice]], *, dim: int = 0, keep_on_cpu: bool = False
    ) -> MultiModalFieldConfig:
        """One slice along `dim` an item, or one for each dim from the first on.

        Raises InputError for what is no slice, or one that goes backwards.
        """
        runs = tuple(run_of(found, dim, f"slices[{place}]") for place, found in enumerate(slices))
        return cls(modality, MultiModalFlatField(dim, keep_on_cpu), Runs(runs, dim))

    @classmethod
    def flat_from_sizes(
        cls, modality: str, size_per_item: Tensor, *, dim: int = 0, keep_on_cpu: bool = False
    ) -> MultiModalFieldConfig:
        """Items one after the other along `dim`, of these sizes [items], which add up to all there is.

        Raises InputError for sizes of more dims than one, or that are not whole numbers from 0 up.
        """
        runs = runs_of_sizes(size_per_item, dim, "size_per_item")
        return cls(modality, MultiModalFlatField(dim, keep_on_cpu), runs)

    @classmethod
    def shared(cls, modality: str, batch_size: int, *, keep_on_cpu: bool = False) -> MultiModalFieldConfig:
        """The same value for each of `batch_size` items."""
        if batch_size < 0:
            raise InputError(f"a value cannot be shared by {batch_size} items", path="batch_size")
        return cls(modality, MultiModalSharedField(keep_on_cpu), Repeat(batch_size))

    def build_elems(self, key: str, value: object) -> list[MultiModalFieldElem] | None:
        """What each item has in this field, as a view; None for a value that is None or empty.

        Raises InputError, with `key` as its path, for a value that cannot be cut so.
        """
        if value is None:
            return None
        data = as_tensors(value, key)
        return None if self.cut.skips(data) else [MultiModalFieldElem(part, self.field) for part in self.cut(data, key)]
