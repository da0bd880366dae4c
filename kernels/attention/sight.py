"""Which rows of a cache sequences see that have one new row each, as one tensor that is copied as little as may be."""
# B sequences, L of them with the idle pages between theirs, S rows in sight, G key/value heads, K head width

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from triptych.kernels.attention.alibi import Alibi
from triptych.kernels.attention.spans import Kept, Reach

IDLE = 2  # times as many pages as sequences are looked at in place rather than copied
SHORT = 64  # rows of a page that is copied whole, however few of them are seen


@dataclass(frozen=True)
class Sight:
    """Where the rows of some sequences are, the `members` [B]; made once a step.

    `pages` are a slice where each sequence has one page and these lie near each other, else the page of each [B], or
    the pages of each [B, P]. `places` [B] are the sequences among those of a slice that has idle pages too.
    """

    members: Tensor
    pages: slice | Tensor
    places: Tensor | None
    span: slice
    mask: Tensor | None

    @classmethod
    def several(cls, kept: Kept, lengths: Sequence[int], *, like: Tensor, reach: Reach) -> list[Sight]:
        """For the first sequences, of these `lengths`, new row included, of which the rows in reach are seen.

        Those of one page are looked at together, those of several too, unless pages are so long that a short sequence
        would cost as much as a long one.
        """
        ones = [i for i in range(len(lengths)) if len(kept.tables[i]) == 1]
        others = [i for i in range(len(lengths)) if len(kept.tables[i]) > 1]
        short = kept.k.shape[2] <= SHORT
        groups = [ones, others] if short else [ones, *([i] for i in others)]
        seen = [range(reach.start(length - 1), length) for length in lengths]
        return [
            cls._of(
                group,
                [kept.tables[i] for i in group],
                [seen[i] for i in group],
                kept=kept,
                like=like,
                alibi=reach.alibi,
            )
            for group in groups
            if group
        ]

    @classmethod
    def _of(
        cls,
        members: Sequence[int],
        tables: Sequence[Sequence[int]],
        seen: Sequence[range],
        *,
        kept: Kept,
        like: Tensor,
        alibi: Alibi | None,
    ) -> Sight:
        groups, page = kept.k.shape[1:3]

        def made(pages: slice | Tensor, places: Tensor | None, shown: Sequence[range]) -> Sight:
            span, mask = _seen(shown, like)
            if alibi:
                mask = _leaning(alibi, shown, span, groups, like) + (0 if mask is None else mask)
            return cls(_on(like, members), pages, places, span, mask)

        if len(tables[0]) > 1:
            return made(_on(like, _filled(tables, seen, page)), None, [_within_pages(rows, page) for rows in seen])
        first = [table[0] for table in tables]
        low, count = first[0], first[-1] + 1 - first[0]
        if count > IDLE * len(first) or any(a >= b for a, b in pairwise(first)):
            return made(_on(like, first), None, seen)
        if count == len(first):
            return made(slice(low, low + count), None, seen)
        shown = [min(seen, key=lambda rows: rows.stop)] * count  # of an idle page, to nobody
        for at, rows in zip(first, seen, strict=True):
            shown[at - low] = rows
        return made(slice(low, low + count), _on(like, [at - low for at in first]), shown)

    def rows(self, cache: Tensor) -> Tensor:
        """[pages, G, page, K] -> [L, G, S, K]."""
        if isinstance(self.pages, Tensor) and self.pages.ndim == 2:
            return cache[self.pages].transpose(1, 2).flatten(2, 3)[:, :, self.span]
        return cache[self.pages, :, self.span]

    def spread(self, rows_B: Tensor) -> Tensor:
        """Rows of sequences [B, ...] among those of idle pages [L, ...]."""
        if self.places is None:
            return rows_B
        assert isinstance(self.pages, slice)
        rows_L = rows_B.new_zeros(self.pages.stop - self.pages.start, *rows_B.shape[1:])
        rows_L[self.places] = rows_B
        return rows_L

    def gather(self, rows_L: Tensor) -> Tensor:
        """Back again."""
        return rows_L if self.places is None else rows_L[self.places]


def additive(seen: Tensor, like: Tensor) -> Tensor:
    """What to add to scores so that only what is seen counts."""
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill_(~seen, float("-inf"))


def _on(like: Tensor, numbers: Sequence[object]) -> Tensor:
    return torch.tensor(numbers, device=like.device)


def _within_pages(rows: range, page: int) -> range:
    """Where the rows stand among those of the pages from the first that has one of them."""
    first = rows.start // page * page
    return range(rows.start - first, rows.stop - first)


def _filled(tables: Sequence[Sequence[int]], seen: Sequence[range], page: int) -> list[list[int]]:
    """The pages of each that rows are seen of; fewer are filled up with a page that nobody sees."""
    used = [table[rows.start // page : -(-rows.stop // page)] for table, rows in zip(tables, seen, strict=True)]
    most = max(map(len, used))
    return [[*pages, *[pages[-1]] * (most - len(pages))] for pages in used]


def _seen(shown: Sequence[range], like: Tensor) -> tuple[slice, Tensor | None]:
    """The rows that any sequence sees, and a mask [L, 1, 1, S] where the sequences see different ones."""
    starts, stops = [rows.start for rows in shown], [rows.stop for rows in shown]
    span = slice(min(starts), max(stops))
    if len(set(shown)) == 1:
        return span, None
    at_S = torch.arange(span.start, span.stop, device=like.device)
    stops_L1, starts_L1 = (_on(like, x)[:, None] for x in (stops, starts))
    return span, additive((at_S < stops_L1) & (at_S >= starts_L1), like)[:, None, None]


def _leaning(alibi: Alibi, shown: Sequence[range], span: slice, groups: int, like: Tensor) -> Tensor:
    """[L, G, H / G, S] for the last row of each."""
    last = _on(like, [rows.stop - 1 for rows in shown])
    bias_LHS = alibi.of_each(last, range(span.start, span.stop), like=like)
    return bias_LHS.view(len(shown), groups, -1, bias_LHS.shape[-1])
