"""What mixers remember of sequences: rows of keys and values, in pages, and states."""
# T rows of the step, B sequences, G key/value heads, K width of a row

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise

import torch
from torch import Tensor

from triptych.errors import InputError
from triptych.kernels.attention import Kept, Spans
from triptych.parts.cache_layout import Layout
from triptych.parts.cache_memory import row_tensors, state_tensors
from triptych.parts.sources import Source
from triptych.parts.step import Step

Index = tuple[slice | int | Tensor, ...]


class Cache:
    """For each mixer and width a tensor [pages, G, page, K], of which a page holds `page` rows of one sequence.

    For each mixer with a state, and shape of it, a tensor [slots, ...]. `lengths` says how many rows each page holds
    where a sequence is no longer than a page, and `step` cuts it so.
    """

    def __init__(self, layout: Layout, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        self.layout, self.device, self.lengths = layout, torch.device(device), [0] * layout.pages
        # Zeros, not empty: a masked row still meets a weight of nought, and nought times NaN is NaN.
        self.rows = row_tensors(layout, dtype=dtype, device=self.device)
        self.states = state_tensors(layout, dtype=dtype, device=self.device)
        self._by_row = {key: tuple(rows.transpose(1, 2) for rows in made) for key, made in self.rows.items()}
        self._group = {key: number for number, group in enumerate(layout.groups) for key in group.keys}

    def step(self, lengths: Sequence[int], *, pages: Sequence[int] | None = None) -> Step:
        """The step of `lengths` new rows a sequence, each in one page (the first unless given), which grows by them.

        The states of a sequence are in the slot of the same number. Raises InputError, and changes nothing, when a page
        has not as much room.
        """
        pages = tuple(range(len(lengths)) if pages is None else pages)
        self._check(lengths, pages)
        past = [self.lengths[number] for number in pages]
        for number, length in zip(pages, lengths, strict=True):
            self.lengths[number] += length
        return self.step_in(lengths, past=past, tables=[[(number,) for number in pages]], slots=pages)

    def step_in(
        self,
        lengths: Sequence[int],
        *,
        past: Sequence[int],
        tables: Sequence[Sequence[Sequence[int]]],
        slots: Sequence[int] = (),
        blocks: Sequence[Sequence[range]] = (),
        positions: Tensor | None = None,
    ) -> Step:
        """The step of `lengths` new rows a sequence, after `past` older ones, and the states in its slot.

        For each group of the layout the table of each sequence: the pages that it fills in turn. Who calls it keeps
        count of the rows, and of pages that nobody else writes. `blocks` are new rows of each sequence that see each
        other both ways; `positions` are where the new rows stand, if not at their numbers.
        """
        spans = Spans.of(lengths, past, blocks)
        return Step(spans, device=self.device, cache=self, tables=tables, slots=slots, positions=positions)

    def copy(self, group: int, source: int, to: int, rows: int) -> None:
        """The first `rows` rows of one page of a group become those of another."""
        for key in self.layout.groups[group].keys:
            for each in self.rows[key]:
                each[to, :, :rows] = each[source, :, :rows]

    def clear(self, pages: Sequence[int]) -> None:
        """Noughts again in these pages: what stood there may be no number, which rows that come later would meet."""
        for made in self.rows.values():
            for each in made:
                for page in pages:
                    each[page] = 0

    def write(self, key: str, new: Sequence[Tensor], step: Step) -> Kept:
        """Put the new rows [T, G, K] of the mixer `key` in their places -> all its rows; of one width, both k and v."""
        group = self._group[key]
        places = step.once(("places", group), lambda: self._places(step, group))
        for rows, new_TGK in zip(self._by_row[key], new, strict=True):
            for place, part in places:
                rows[place] = new_TGK[part]
        return self.kept(key, step)

    def kept(self, key: str, step: Step) -> Kept:
        """All rows of the mixer `key`, of the sequences of the step; of one width, both k and v."""
        made, group = self.rows[key], self._group[key]
        return Kept(made[0], made[-1], step.tables[group] if step.slots_NB is None else (), group)

    def row_slots(self, key: str, step: Step) -> Tensor:
        """Where each new row of the mixer `key` goes [T]: its page times the rows of a page, and its row in that."""
        group = self._group[key]
        if step.slots_NB is not None:
            return step.slots_NB[group]
        return step.once(("row slots", group), lambda: self._row_slots(step, group))

    def read_state(self, key: str, step: Step) -> tuple[Tensor, ...]:
        """The states [B, ...] of the mixer `key`: copies, and noughts for a sequence that begins."""
        slots_B, begins_B = step.once("slots", lambda: self._slots(step))
        found = tuple(each[slots_B] for each in self.states[key])
        if begins_B is not None:
            for each in found:
                each[begins_B] = 0
        return found

    def write_state(self, key: str, new: Sequence[Tensor], step: Step) -> None:
        """Put the states [B, ...] of the mixer `key` in the slots of their sequences."""
        slots_B, _ = step.once("slots", lambda: self._slots(step))
        for states, each in zip(self.states[key], new, strict=True):
            states[slots_B] = each.to(states.dtype)

    def keep_source(self, key: str, source: Source, new: Sequence[Tensor] | None, step: Step) -> Kept:
        """Put keys and values [S, G, K] of the sequences that bring theirs in their slots -> those of all sequences."""
        kept = self.states[key]
        for rows, made in zip(kept, new or (), strict=False):
            for number, each in zip(source.given, source.of_given(made), strict=True):
                rows[step.slots[number], :, : len(each)] = each.transpose(0, 1)
        return Kept(kept[0], kept[-1], [(slot,) for slot in step.slots])

    def _slots(self, step: Step) -> tuple[Tensor, Tensor | None]:
        """The slot of each sequence, and which ones begin; None where none does."""
        slots = torch.tensor(step.slots, device=self.device)
        begins = [not past for past in step.spans.past]
        return slots, torch.tensor(begins, device=self.device) if any(begins) else None

    def _places(self, step: Step, group: int) -> list[tuple[Index, slice]]:
        """Where in [pages, page, G, K] which of the new rows go: rows of single ones together, others page by page."""
        if step.slots_NB is not None:
            slots = step.slots_NB[group]
            slots, page = slots.where(slots >= 0, slots[:1]), self.layout.groups[group].page
            return [((slots // page, slots % page), slice(None))]
        spans, tables, page = step.spans, step.tables[group], self.layout.groups[group].page
        found: list[tuple[Index, slice]] = []
        if ones := spans.ones or (len(spans.new) if spans.single else 0):
            found.append((self._single(spans.past[:ones], tables[:ones], page), slice(0, ones)))
        others = islice(zip(tables, spans.past, pairwise(spans.bounds), strict=True), ones, None)
        for table, past, (start, stop) in others:
            length = past + stop - start
            for first, last in pairwise([past, *range(page * (past // page + 1), length, page), length]):
                rows = slice(first % page, first % page + last - first)
                found.append(((table[first // page], rows), slice(start + first - past, start + last - past)))
        return found

    def _row_slots(self, step: Step, group: int) -> Tensor:
        page, found = self.layout.groups[group].page, list[int]()
        for table, past, length in zip(step.tables[group], step.spans.past, step.spans.lengths, strict=True):
            for first, last in pairwise([past, *range(page * (past // page + 1), length, page), length]):
                if first < last:
                    start = table[first // page] * page + first % page
                    found += range(start, start + last - first)
        return torch.tensor(found, device=self.device)

    def _single(self, past: Sequence[int], tables: Sequence[Sequence[int]], page: int) -> Index:
        """Where one new row of each sequence goes."""
        places = [divmod(row, page) for row in past]
        pages = [table[number] for table, (number, _) in zip(tables, places, strict=True)]
        rows = [row for _, row in places]
        if len(set(rows)) == 1 and pages == [*range(pages[0], pages[0] + len(pages))]:
            return slice(pages[0], pages[0] + len(pages)), rows[0]
        return torch.tensor(pages, device=self.device), torch.tensor(rows, device=self.device)

    def _check(self, lengths: Sequence[int], pages: Sequence[int]) -> None:
        page = self.layout.groups[0].page
        if (
            len(lengths) != len(pages)
            or len(set(pages)) != len(pages)
            or not set(pages) <= set(range(len(self.lengths)))
        ):
            raise InputError(f"{len(lengths)} sequences in pages {list(pages)} of a cache with {len(self.lengths)}")
        for number, new in zip(pages, lengths, strict=True):
            if (total := self.lengths[number] + new) > page:
                raise InputError(f"a sequence of {total} tokens is longer than a page of the cache, which holds {page}")
