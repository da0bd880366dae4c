"""How the rows of a step are cut into sequences, and where the older rows of each are kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Spans:
    """`bounds` are cumulative counts of new rows (0, n0, n0 + n1, ...), `past` rows kept of each sequence; on the host.

    Made once a step; `once` keeps what depends on the cut alone (masks, indices), so that layers share it.
    """

    bounds: tuple[int, ...]
    past: tuple[int, ...]
    memo: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, lengths: Sequence[int], past: Sequence[int] | None = None) -> Spans:
        """Sequences of `lengths` new rows each, `past` of them zero unless given."""
        return cls((0, *accumulate(lengths)), tuple(past or (0,) * len(lengths)))

    @cached_property
    def new(self) -> tuple[int, ...]:
        """New rows of each sequence."""
        return tuple(stop - start for start, stop in pairwise(self.bounds))

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """All rows of each sequence, kept and new."""
        return tuple(old + new for old, new in zip(self.past, self.new, strict=True))

    @cached_property
    def single(self) -> bool:
        """Whether every sequence has one new row, as in decoding."""
        return set(self.new) == {1}

    @cached_property
    def ones(self) -> int:
        """How many sequences at the front have one new row after older ones, as in decoding."""
        pairs = enumerate(zip(self.new, self.past, strict=True))
        return next((i for i, (new, past) in pairs if new != 1 or not past), len(self.new))

    @cached_property
    def even(self) -> bool:
        """Whether all sequences have as many new rows, and as many kept."""
        return len(set(self.new)) == 1 == len(set(self.past))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, made at the first call with this key."""
        if key not in self.memo:
            self.memo[key] = make()
        found: T = self.memo[key]
        return found


class Kept(NamedTuple):
    """The cache of one mixer, new rows of the step already written. Sequence i fills the pages `tables[i]` in turn."""

    k: Tensor  # [pages, G, page, K]
    v: Tensor  # [pages, G, page, V]
    tables: tuple[tuple[int, ...], ...]

    def of(self, i: int, length: int) -> tuple[Tensor, Tensor]:
        """The first `length` rows of a sequence: [G, length, K] and [G, length, V]."""
        table = self.tables[i]
        if len(table) == 1:
            return self.k[table[0], :, :length], self.v[table[0], :, :length]
        used = list(table[: -(-length // self.k.shape[2])])
        k, v = (rows[used].transpose(0, 1).flatten(1, 2)[:, :length] for rows in (self.k, self.v))
        return k, v
