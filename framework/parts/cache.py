"""What mixers remember of sequences: rows of keys and values, in pages."""
# T rows of the step, G key/value heads, K width of a row

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice, pairwise
from math import prod

import numpy as np
import torch
from torch import Tensor

from triptych.errors import InputError
from triptych.kernels.attention import Kept, Spans
from triptych.parts.cache_needs import Rows
from triptych.parts.step import Step

ALIGNED = 64  # bytes, as torch's own memory is
Index = tuple[slice | int | Tensor, ...]


class Cache:
    """For each mixer and width a tensor [pages, G, page, K]: a page holds `page` rows of one sequence.

    `lengths` says how many rows each page holds where a sequence is no longer than a page, and `step` cuts it so.
    """

    def __init__(
        self,
        needs: Mapping[str, Rows],
        *,
        pages: int,
        page: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        self.page, self.device, self.lengths = page, torch.device(device), [0] * pages
        # Zeros, not empty: a masked row still meets a weight of nought, and nought times NaN is NaN.
        self.rows = {
            key: tuple(_zeros((pages, need.heads, page, w), dtype, self.device) for w in need.widths)
            for key, need in needs.items()
        }
        self._by_row = {key: tuple(rows.transpose(1, 2) for rows in made) for key, made in self.rows.items()}

    @staticmethod
    def nbytes(needs: Mapping[str, Rows], *, pages: int, page: int, dtype: torch.dtype) -> int:
        """Bytes that a cache of this size takes."""
        return pages * page * dtype.itemsize * sum(need.width for need in needs.values())

    def step(self, lengths: Sequence[int], *, pages: Sequence[int] | None = None) -> Step:
        """The step of `lengths` new rows a sequence, each in one page (the first unless given), which grows by them.

        Raises InputError, and changes nothing, when a page has not as much room.
        """
        pages = tuple(range(len(lengths)) if pages is None else pages)
        self._check(lengths, pages)
        past = [self.lengths[number] for number in pages]
        for number, length in zip(pages, lengths, strict=True):
            self.lengths[number] += length
        return self.step_in(lengths, past=past, tables=[(number,) for number in pages])

    def step_in(self, lengths: Sequence[int], *, past: Sequence[int], tables: Sequence[tuple[int, ...]]) -> Step:
        """The step of `lengths` new rows a sequence, after `past` older ones, in the pages of its table in turn.

        Who calls it keeps count of the rows, and of pages that nobody else writes.
        """
        return Step(Spans.of(lengths, past), device=self.device, cache=self, tables=tables)

    def copy(self, source: int, to: int, rows: int) -> None:
        """The first `rows` rows of one page become those of another."""
        for made in self.rows.values():
            for each in made:
                each[to, :, :rows] = each[source, :, :rows]

    def write(self, key: str, new: Sequence[Tensor], step: Step) -> Kept:
        """Put the new rows [T, G, K] of the mixer `key` in their places -> all its rows."""
        places = step.once("places", lambda: self._places(step))
        for rows, new_TGK in zip(self._by_row[key], new, strict=True):
            for place, part in places:
                rows[place] = new_TGK[part]
        k, v = self.rows[key]
        return Kept(k, v, step.tables)

    def _places(self, step: Step) -> list[tuple[Index, slice]]:
        """Where in [pages, page, G, K] which of the new rows go: rows of single ones together, others page by page."""
        spans, tables = step.spans, step.tables
        found: list[tuple[Index, slice]] = []
        if ones := spans.ones or (len(spans.new) if spans.single else 0):
            found.append((self._single(spans.past[:ones], tables[:ones]), slice(0, ones)))
        others = islice(zip(tables, spans.past, pairwise(spans.bounds), strict=True), ones, None)
        for table, past, (start, stop) in others:
            ends = [
                past,
                *range(self.page * (past // self.page + 1), past + stop - start, self.page),
                past + stop - start,
            ]
            for first, last in pairwise(ends):
                rows = slice(first % self.page, first % self.page + last - first)
                part = slice(start + first - past, start + last - past)
                found.append(((table[first // self.page], rows), part))
        return found

    def _single(self, past: Sequence[int], tables: Sequence[tuple[int, ...]]) -> Index:
        """Where one new row of each sequence goes."""
        places = [divmod(row, self.page) for row in past]
        pages = [table[number] for table, (number, _) in zip(tables, places, strict=True)]
        rows = [row for _, row in places]
        if len(set(rows)) == 1 and pages == [*range(pages[0], pages[0] + len(pages))]:
            return slice(pages[0], pages[0] + len(pages)), rows[0]
        return torch.tensor(pages, device=self.device), torch.tensor(rows, device=self.device)

    def _check(self, lengths: Sequence[int], pages: Sequence[int]) -> None:
        if (
            len(lengths) != len(pages)
            or len(set(pages)) != len(pages)
            or not set(pages) <= set(range(len(self.lengths)))
        ):
            raise InputError(f"{len(lengths)} sequences in pages {list(pages)} of a cache with {len(self.lengths)}")
        for number, new in zip(pages, lengths, strict=True):
            if (total := self.lengths[number] + new) > self.page:
                raise InputError(
                    f"a sequence of {total} tokens is longer than a page of the cache, which holds {self.page}"
                )


def _zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros of which a host gives memory when they are first written: numpy asks for them so, and torch writes them."""
    if device.type != "cpu":
        return torch.zeros(*shape, dtype=dtype, device=device)
    size = prod(shape) * dtype.itemsize
    raw = np.zeros(size + ALIGNED, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNED
    return torch.from_numpy(raw[start : start + size]).view(dtype).view(*shape)
