"""How the rows of a step are cut into sequences, how far back each sees, and where the older rows are kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, groupby, pairwise
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.attention.alibi import Alibi

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Spans:
    """`bounds` are cumulative counts of new rows (0, n0, n0 + n1, ...), `past` rows kept of each sequence; on the host.

    `blocks` are, for each sequence, ranges of its new rows that see each other both ways, in order; () for none at all.
    Made once a step; `once` keeps what depends on the cut alone (masks, indices), so that layers share it.
    """

    bounds: tuple[int, ...]
    past: tuple[int, ...]
    blocks: tuple[tuple[range, ...], ...] = ()
    memo: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, lengths: Sequence[int], past: Sequence[int] | None = None, blocks: Sequence[Sequence[range]] = ()
    ) -> Spans:
        """Sequences of `lengths` new rows each, `past` of them zero unless given.

        The rows of `blocks` count from the start of their sequence. Raises KernelError for a block that is not read as
        a whole, and for one that begins before the last has ended.
        """
        found = tuple(map(tuple, blocks)) if any(blocks) else ()
        spans = cls((0, *accumulate(lengths)), tuple(past or (0,) * len(lengths)), found)
        if found:
            spans._check_blocks()
        return spans

    def _check_blocks(self) -> None:
        for number, (past, length, blocks) in enumerate(zip(self.past, self.lengths, self.blocks, strict=True)):
            free = past
            for block in blocks:
                if not free <= block.start < block.stop <= length:
                    told = f"rows {block.start} to {block.stop} of sequence {number} see each other both ways"
                    found = f"rows {free} to {length} are there for them; read them whole"
                    raise KernelError(f"attention: {told}, and {found}")
                free = block.stop

    @cached_property
    def new(self) -> tuple[int, ...]:
        """New rows of each sequence."""
        return tuple(stop - start for start, stop in pairwise(self.bounds))

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The sequences that have new rows."""
        return tuple(i for i, new in enumerate(self.new) if new)

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
    def runs(self) -> tuple[tuple[slice, int], ...]:
        """The rows of neighbouring sequences of one length, and that length; () where any has a past."""
        if any(self.past):
            return ()
        found, start = [], 0
        for length, alike in groupby(self.new):
            stop = start + length * len([*alike])
            found += [(slice(start, stop), length)] if length else []
            start = stop
        return tuple(found)

    @cached_property
    def batches(self) -> tuple[tuple[slice, slice, int], ...]:
        """Neighbouring sequences of one number of new rows: which they are, where their rows are, and that number."""
        found, first = [], 0
        for length, alike in groupby(self.new):
            last = first + len([*alike])
            found.append((slice(first, last), slice(self.bounds[first], self.bounds[last]), length))
            first = last
        return tuple(found)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, made at the first call with this key."""
        if key not in self.memo:
            self.memo[key] = make()
        found: T = self.memo[key]
        return found


class Reach(NamedTuple):
    """How far back a row sees: `window` rows, itself included; as far as its `chunk` of so many begins; else all.

    `whole_blocks`: and all of its own block, where there are blocks, however far that is. `alibi`: how much less, the
    farther it is.
    """

    window: int | None = None
    chunk: int | None = None
    whole_blocks: bool = False
    alibi: Alibi | None = None

    @property
    def rows(self) -> int | None:
        """The most that a row sees, its own block aside; None for as many as there are."""
        return min((each for each in (self.window, self.chunk) if each is not None), default=None)

    def start(self, row: int) -> int:
        """The first row that this one sees, its own block aside."""
        start = 0 if self.window is None else max(0, row + 1 - self.window)
        return start if self.chunk is None else max(start, row // self.chunk * self.chunk)


class Kept(NamedTuple):
    """The cache of one mixer, new rows of the step already written. Sequence i fills the pages `tables[i]` in turn.

    Of pages whose rows are out of reach the table may say anything: they are not looked at. `group` tells apart the
    tables of a step, of which mixers with the same share what is made of them.
    """

    k: Tensor  # [pages, G, page, K]
    v: Tensor  # [pages, G, page, V]
    tables: Sequence[Sequence[int]]
    group: int = 0

    def of(self, i: int, stop: int, start: int = 0) -> tuple[Tensor, Tensor]:
        """The rows of a sequence from one to another: [G, stop - start, K] and [G, stop - start, V]."""
        page = self.k.shape[2]
        first = start // page
        used, rows = self.tables[i][first : -(-stop // page)], slice(start - first * page, stop - first * page)
        if len(used) == 1:
            return self.k[used[0], :, rows], self.v[used[0], :, rows]
        k, v = (kept[list(used)].transpose(0, 1).flatten(1, 2)[:, rows] for kept in (self.k, self.v))
        return k, v
