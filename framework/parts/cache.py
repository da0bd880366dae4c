"""What mixers remember of a sequence: rows of keys and values, in a slot of fixed capacity for each sequence."""
# T rows of the step, G key/value heads, K width of a row

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from triptych.errors import InputError
from triptych.kernels.attention import Kept, Spans
from triptych.parts.cache_needs import Rows
from triptych.parts.step import Step

Index = tuple[slice | int | Tensor, ...]


class Cache:
    """For each mixer and width a tensor [slots, G, capacity, K]; `lengths` says how many rows each slot holds."""

    def __init__(
        self,
        needs: Mapping[str, Rows],
        *,
        slots: int,
        capacity: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        self.capacity, self.device, self.lengths = capacity, torch.device(device), [0] * slots
        # Zeros, not empty: a masked row still meets a weight of nought, and nought times NaN is NaN.
        self.rows = {
            key: tuple(torch.zeros(slots, need.heads, capacity, w, dtype=dtype, device=device) for w in need.widths)
            for key, need in needs.items()
        }
        self._by_row = {key: tuple(rows.transpose(1, 2) for rows in made) for key, made in self.rows.items()}

    @staticmethod
    def nbytes(needs: Mapping[str, Rows], *, slots: int, capacity: int, dtype: torch.dtype) -> int:
        """Bytes that a cache of this size takes."""
        return slots * capacity * dtype.itemsize * sum(need.width for need in needs.values())

    def step(self, lengths: Sequence[int], *, slots: Sequence[int] | None = None) -> Step:
        """The step of `lengths` new rows a sequence, in these slots (the first ones unless given), which grow by them.

        Raises InputError, and changes nothing, when a slot has not as much room.
        """
        slots = tuple(range(len(lengths)) if slots is None else slots)
        self._check(lengths, slots)
        spans = Spans.of(lengths, [self.lengths[slot] for slot in slots])
        for slot, length in zip(slots, spans.lengths, strict=True):
            self.lengths[slot] = length
        return Step(spans, device=self.device, cache=self, slots=slots)

    def keep(self, slots: Sequence[int]) -> None:
        """These slots, in this order, become the first ones, and the others empty; one may be kept more than once."""
        moves = [(to, source) for to, source in enumerate(slots) if to != source]
        if moves:
            to, source = ([move[side] for move in moves] for side in (0, 1))
            longest = max(self.lengths[slot] for slot in source)
            for rows in (rows for of_mixer in self.rows.values() for rows in of_mixer):
                rows[to, :, :longest] = rows[source, :, :longest]
        kept = [self.lengths[slot] for slot in slots]
        self.lengths = kept + [0] * (len(self.lengths) - len(kept))

    def write(self, key: str, new: Sequence[Tensor], step: Step) -> Kept:
        """Put the new rows [T, G, K] of the mixer `key` in their places -> all its rows."""
        places = step.once("places", lambda: self._places(step))
        for rows, new_TGK in zip(self._by_row[key], new, strict=True):
            for place, part in places:
                rows[place] = new_TGK[part]
        k, v = self.rows[key]
        return Kept(k, v, step.slots)

    def _places(self, step: Step) -> list[tuple[Index, slice]]:
        """Where in [slots, capacity, G, K] which of the new rows go."""
        spans, slots = step.spans, step.slots
        if not spans.single:
            rows = zip(slots, spans.past, spans.lengths, pairwise(spans.bounds), strict=True)
            return [((slot, slice(past, length)), slice(*part)) for slot, past, length, part in rows]
        if spans.even and slots == tuple(range(slots[0], slots[0] + len(slots))):
            return [((slice(slots[0], slots[0] + len(slots)), spans.past[0]), slice(None))]
        return [((step.per_row(slots), step.positions), slice(None))]

    def _check(self, lengths: Sequence[int], slots: Sequence[int]) -> None:
        if (
            len(lengths) != len(slots)
            or len(set(slots)) != len(slots)
            or not set(slots) <= set(range(len(self.lengths)))
        ):
            raise InputError(f"{len(lengths)} sequences in slots {list(slots)} of a cache with {len(self.lengths)}")
        for slot, new in zip(slots, lengths, strict=True):
            if (total := self.lengths[slot] + new) > self.capacity:
                raise InputError(f"a sequence of {total} tokens is longer than the cache, which holds {self.capacity}")
