"""How a cache is cut for the memory that there is: a page for each request where there is room, else smaller ones."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace

import torch

from triptych.kernels.attention import Reach
from triptych.parts.cache_layout import Group, Layout, by_reach, row_size, state_size
from triptych.parts.cache_needs import CacheNeed
from triptych.runner.prefix import BLOCK

PARTS = 8  # pages at least for what a row sees, where rows are forgotten: one more is taken, that is so in part


class Room:
    """What fits into a cache of so many numbers (as of bfloat16); None for as many as one likes."""

    def __init__(self, needs: Mapping[str, CacheNeed], numbers: int | None, dtype: torch.dtype) -> None:
        self._needs, self._numbers = needs, numbers
        self._row, self._state = row_size(needs), state_size(needs, dtype)

    def layout(self, *, seqs: int, longest: int) -> Layout | None:
        """For so many requests of `longest` rows at a time; for fewer where there is less room, None where for none.

        A page for each is read in place. Else pages of what is not forgotten are as long as gives each request one,
        and longer requests take several; pages of what is forgotten are a part of it.
        """
        if self._numbers is None:
            return Layout.whole(self._needs, pages=seqs, page=longest)
        slots = min(seqs, (self._numbers - self._rows(longest)) // self._state) if self._state else seqs
        if slots < 1:
            return None
        left = self._numbers - slots * self._state
        each = left // (self._row * longest) if self._row else slots
        if each < slots and (found := self._in_pages(left, slots=slots, longest=longest)):
            return found
        return Layout.whole(self._needs, pages=min(each, slots), page=longest, slots=slots) if each else None

    def longest(self, most: int) -> int:
        """The most rows that one request may have, `most` of them at the most."""
        if self._numbers is None:
            return most
        return bisect_right(range(1, most + 1), self._numbers, key=self.taken)

    def taken(self, longest: int) -> int:
        """Numbers that one request of so many rows takes at the least."""
        return self._state + self._rows(longest)

    def _rows(self, longest: int) -> int:
        """Numbers for the rows of one request: in one page, or in the smallest."""
        groups = self._groups(BLOCK, longest)
        page = max((group.page * group.width for group in groups), default=0)
        return min(self._row * longest, page * sum(group.pages(longest) for group in groups))

    def _in_pages(self, numbers: int, *, slots: int, longest: int) -> Layout | None:
        """Pages that the groups share, as large as may be; None where they do not hold one request."""
        for rows in dict.fromkeys((numbers // self._row // slots, BLOCK)):
            groups = self._groups(rows, longest)
            layout = Layout(self._needs, groups, 0, slots)
            pages = numbers // layout.page_size
            several = any(group.page < longest for group in groups)
            if several and pages >= sum(group.pages(longest) for group in groups):
                return replace(layout, pages=pages)
        return None

    def _groups(self, rows: int, longest: int) -> tuple[Group, ...]:
        """With pages of about the same size: in none so many rows, but a block of them at the least."""
        found = by_reach(self._needs, longest=longest)
        widths = {reach: row_size(needs) for reach, needs in found.items()}
        size = min((_page(rows, reach) * width for reach, width in widths.items()), default=0)
        size = max(size, BLOCK * max(widths.values(), default=0))
        return tuple(
            Group(tuple(needs), reach, size // widths[reach] // BLOCK * BLOCK, widths[reach])
            for reach, needs in found.items()
        )


def _page(rows: int, reach: Reach) -> int:
    """Rows of a page, of as many as may be."""
    return max(BLOCK, rows if reach.rows is None else min(rows, reach.rows // PARTS))
