"""How the memory of a cache is cut: into pages of rows, by how far back these are seen, and slots of states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch

from triptych.kernels.attention import Reach
from triptych.parts.cache_needs import CacheNeed, Rows, State


@dataclass(frozen=True)
class Group:
    """Mixers whose rows are forgotten alike, by their `keys`; a page holds `page` rows of each, `width` numbers a row.

    A sequence has one table of pages for all of them. What is out of `reach` of all that is to come is forgotten.
    """

    keys: tuple[str, ...]
    reach: Reach
    page: int
    width: int

    def pages(self, rows: int, *, new: int = 1) -> int:
        """The most pages that a sequence of so many rows takes at any time, which grows by `new` rows at the most."""
        whole = -(-rows // self.page)
        return whole if self.reach.rows is None else min(whole, -(-(self.reach.rows + new - 2) // self.page) + 1)


@dataclass(frozen=True)
class Layout:
    """`pages` in all, each of which any of the `groups` may take, and a place for the states of `slots` sequences."""

    needs: Mapping[str, CacheNeed]
    groups: tuple[Group, ...]
    pages: int
    slots: int

    @classmethod
    def whole(cls, needs: Mapping[str, CacheNeed], *, pages: int, page: int, slots: int | None = None) -> Layout:
        """One table a sequence: nothing is forgotten while it lasts. There is a slot for each page unless given."""
        keys = tuple(rows_of(needs))
        return cls(needs, (Group(keys, Reach(), page, row_size(needs)),), pages, pages if slots is None else slots)

    @cached_property
    def page_size(self) -> int:
        """Numbers in a page."""
        return max(group.page * group.width for group in self.groups)

    def nbytes(self, dtype: torch.dtype) -> int:
        """Bytes that a cache takes which is cut so."""
        return dtype.itemsize * (self.pages * self.page_size + self.slots * state_size(self.needs, dtype))


def rows_of(needs: Mapping[str, CacheNeed]) -> dict[str, Rows]:
    """The needs of those mixers that keep rows."""
    return {key: need for key, need in needs.items() if isinstance(need, Rows)}


def row_size(needs: Mapping[str, CacheNeed]) -> int:
    """Numbers that one token takes in all mixers."""
    return sum(need.width for need in rows_of(needs).values())


def state_size(needs: Mapping[str, CacheNeed], dtype: torch.dtype) -> int:
    """Numbers of a dtype that one sequence takes, however long it is; those of sums are wider if it is a narrow one."""
    states = [need for need in needs.values() if isinstance(need, State)]
    wider = sum_dtype(dtype).itemsize // dtype.itemsize - 1
    return sum(need.size + wider * need.sum_size for need in states)


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """What sums over many rows are kept in, beside numbers of a dtype."""
    return dtype if dtype.itemsize >= torch.float32.itemsize else torch.float32


def state_dtypes(need: State, dtype: torch.dtype) -> tuple[torch.dtype, ...]:
    """The dtype of each tensor of a state."""
    plain = len(need.shapes) - need.sums
    return (dtype,) * plain + (sum_dtype(dtype),) * need.sums


def by_reach(needs: Mapping[str, CacheNeed], *, longest: int) -> dict[Reach, dict[str, Rows]]:
    """The needs of those that keep rows, by how far back these are seen in sequences of `longest` rows; all first."""
    found: dict[Reach, dict[str, Rows]] = {}
    for key, need in rows_of(needs).items():
        reach = Reach(need.window, need.chunk)
        found.setdefault(reach if reach.start(longest - 1) else Reach(), {})[key] = need
    return dict(sorted(found.items(), key=lambda item: (item[0].rows is not None, item[0].rows or 0)))
