"""Which rows of a cache sequences see that have one new row each, as one tensor that is copied as little as may be."""
# B sequences, L of them with the idle pages between theirs, S rows in sight, G key/value heads, K head width

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from triptych.kernels.attention.spans import Kept

IDLE = 2  # times as many pages as sequences are looked at in place rather than copied


@dataclass(frozen=True)
class Sight:
    """Where the rows are, made once a step.

    `pages` are a slice where each sequence has one page and these lie near each other, else the page of each [B], or
    the pages of each [B, P]. `places` [B] are the sequences among those of a slice that has idle pages too.
    """

    pages: slice | Tensor
    places: Tensor | None
    span: slice
    mask: Tensor | None

    @classmethod
    def of(cls, kept: Kept, lengths: Sequence[int], *, like: Tensor, window: int | None) -> Sight:
        """For sequences of these `lengths`, their new row included, of which the last `window` rows are seen."""
        tables, device, page = kept.tables[: len(lengths)], like.device, kept.k.shape[2]
        if any(len(table) > 1 for table in tables):
            return cls._of_many(tables, lengths, page=page, like=like, window=window)
        first = [table[0] for table in tables]
        low, count = first[0], first[-1] + 1 - first[0]
        if count > IDLE * len(first) or any(a >= b for a, b in pairwise(first)):
            return cls(torch.tensor(first, device=device), None, *_seen(lengths, like=like, window=window))
        if count == len(first):
            return cls(slice(low, low + count), None, *_seen(lengths, like=like, window=window))
        shown = [min(lengths)] * count  # of an idle page, to nobody
        for at, length in zip(first, lengths, strict=True):
            shown[at - low] = length
        places = torch.tensor([at - low for at in first], device=device)
        return cls(slice(low, low + count), places, *_seen(shown, like=like, window=window))

    @classmethod
    def _of_many(
        cls, tables: Sequence[Sequence[int]], lengths: Sequence[int], *, page: int, like: Tensor, window: int | None
    ) -> Sight:
        """Pages before all windows are not looked at; a shorter table is filled up with a page that nobody sees."""
        start = _start(lengths, window) // page
        stop = -(-max(lengths) // page)
        filled = [[*table[start:stop], *[table[-1]] * (stop - max(start, len(table)))] for table in tables]
        shown = [length - start * page for length in lengths]
        return cls(torch.tensor(filled, device=like.device), None, *_seen(shown, like=like, window=window))

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


def _start(lengths: Sequence[int], window: int | None) -> int:
    return min(max(0, length - window) if window is not None else 0 for length in lengths)


def _seen(lengths: Sequence[int], *, like: Tensor, window: int | None) -> tuple[slice, Tensor | None]:
    """The rows that any sequence sees, and a mask [L, 1, 1, S] where the sequences see different ones."""
    span = slice(_start(lengths, window), max(lengths))
    if len(set(lengths)) == 1:
        return span, None
    at_S = torch.arange(span.start, span.stop, device=like.device)
    starts = [max(0, length - window) if window is not None else 0 for length in lengths]
    stops_L1, starts_L1 = (torch.tensor(x, device=like.device)[:, None] for x in (lengths, starts))
    seen_LS = (at_S < stops_L1) & (at_S >= starts_L1)
    return span, additive(seen_LS, like)[:, None, None]
