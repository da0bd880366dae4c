"""What the programs of a launch do, made on the host once a step and shared by the layers.

An item is a tile of packed rows of one sequence and the keys that it may look at: eight numbers, of which the last says
where in a buffer of parts its outcome goes, or -1 for straight to the output.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from triptych.kernels.attention.spans import Kept, Reach, Spans


class Item(NamedTuple):
    """Of a sequence its first row among those of the step, its new rows, and those before; then the first packed row.

    Then where its keys are: its first page in the list of pages, or the row of its key 0; which keys; and the part.
    """

    row: int
    new: int
    past: int
    first: int
    origin: int
    low: int
    high: int
    part: int = -1


class Join(NamedTuple):
    """The parts that belong to the packed rows of one tile."""

    row: int
    new: int
    first: int
    part: int
    parts: int


def tensor(numbers: Sequence[Sequence[int] | int], device: torch.device) -> Tensor:
    """int32 on the device, without waiting for it."""
    found = torch.tensor(numbers, dtype=torch.int32, pin_memory=device.type == "cuda")
    return found.to(device, non_blocking=True)


def sequences(spans: Spans, numbers: Iterable[int], kept: Kept | None) -> list[Item]:
    """One item for all rows and all keys of each of these sequences that has new rows."""
    pages = (0, *accumulate(map(len, kept.tables))) if kept else ()
    found = []
    for i in numbers:
        past, row = spans.past[i], spans.bounds[i]
        origin, low = (pages[i], 0) if kept else (row - past, past)
        if spans.new[i]:
            found.append(Item(row, spans.new[i], past, 0, origin, low, spans.lengths[i]))
    return found


def tiles(whole: Sequence[Item], *, group: int, rows: int) -> list[Item]:
    """These in tiles of so many packed rows; those that look at the most keys first."""
    found = [item._replace(first=first) for item in whole for first in range(0, item.new * group, rows)]
    return sorted(found, key=lambda item: -(item.past + item.first // group))


def parts(cut: Sequence[Item], *, reach: Reach, group: int, keys: int, align: int) -> tuple[list[Item], list[Join]]:
    """Tiles over so many keys each at most, and what is to be joined again; keys are cut at multiples of `align`."""
    found, joins, count = [], [], 0
    for item in cut:
        start = reach.start(item.past + item.first // group) // align * align
        lows = range(start, item.high, keys)
        if len(lows) == 1:
            found.append(item)
            continue
        joins.append(Join(item.row, item.new, item.first, count, len(lows)))
        for low in lows:  # the first begins at nought, which says that it is the first
            found.append(item._replace(low=low if low > start else 0, high=min(low + keys, item.high), part=count))
            count += 1
    return found, joins
