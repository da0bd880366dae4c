"""Launches of attention: which sequences go together, over keys of the step or of pages."""
# T query rows, H heads, G key/value heads, K and V head widths

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
import triton
from torch import Tensor

from triptych.kernels.attention.decoding import DecodeSpans
from triptych.kernels.attention.on_gpu import listing, sizes, work
from triptych.kernels.attention.on_gpu.combine import combine
from triptych.kernels.attention.on_gpu.forward import forward
from triptych.kernels.attention.on_gpu.seen import Seen
from triptych.kernels.attention.spans import Kept
from triptych.kernels.tuned import Config, multiprocessors

FEW_ROWS = 64  # packed rows of a sequence, of which a small tile has all
IDS = 32  # pages of a part, whose numbers are read before its loop
LONGEST = 2048  # keys of a part whose pages are looked up in its loop
JOINED = 16  # parts of a row that are read at a time


@dataclass(frozen=True, eq=False)
class Rows:
    """Queries [T, H, K]; keys and values, with their strides from page to page, head to head and row to row."""

    q: Tensor
    k: Tensor
    v: Tensor
    groups: int
    strides: tuple[int, ...]
    kept: Kept | None = None

    @classmethod
    def own(cls, q: Tensor, k: Tensor, v: Tensor) -> Rows:
        """Keys and values of the step."""
        return cls(q, k, v, k.shape[1], (0, k.stride(1), k.stride(0), 0, v.stride(1), v.stride(0)))

    @classmethod
    def older(cls, q: Tensor, kept: Kept) -> Rows:
        """Those in pages."""
        return cls(q, kept.k, kept.v, kept.k.shape[1], (*kept.k.stride()[:3], *kept.v.stride()[:3]), kept)

    @classmethod
    def beside(cls, q: Tensor, kept: Kept) -> Rows:
        """Those of one page a sequence, which begin at as many rows of the cache as `rows_apart` says."""
        (_, k_head, k_row, _), (_, v_head, v_row, _) = kept.k.stride(), kept.v.stride()
        return cls(q, kept.k, kept.v, kept.k.shape[1], (0, k_head, k_row, 0, v_head, v_row))

    @property
    def group(self) -> int:
        return self.q.shape[1] // self.groups

    @property
    def width(self) -> int:
        return max(self.q.shape[2], self.v.shape[-1])

    def most(self, seen: Seen, numbers: Sequence[int]) -> int:
        """Packed rows of the longest of these sequences."""
        return max(seen.spans.new[i] for i in numbers) * self.group


def attend(
    rows: Rows, y: Tensor, seen: Seen, numbers: Sequence[int], *, sinks: Tensor | None, lse: Tensor | None = None
) -> None:
    """All keys of a row in one program: prompts and encoders. `lse` [T, H] gets the logarithms of its sums."""
    tile = sizes.tile(rows.most(seen, numbers), rows.width, rows.q.dtype, y.device)
    items = seen.spans.once(
        ("tiles", rows.kept and rows.kept.group, rows.group, tile["M"], y.device),
        lambda: work.tensor(
            work.tiles(work.sequences(seen.spans, numbers, rows.kept), group=rows.group, rows=tile["M"]), y.device
        ),
    )
    _launch(rows, y, seen, items, tile, sinks=sinks, lse=lse)


def attend_beside(
    rows: Rows, y: Tensor, seen: Seen, numbers: Sequence[int], *, starts: Sequence[int], lengths: Sequence[int]
) -> None:
    """As `attend`, over so many rows from a row of the cache on for each sequence."""
    most = rows.most(seen, numbers)
    size = sizes.part_tile if most <= FEW_ROWS else sizes.tile
    tile = size(most, rows.width, rows.q.dtype, y.device)

    def made() -> Tensor:
        whole = [work.Item(seen.spans.bounds[i], seen.spans.new[i], 0, 0, starts[i], 0, lengths[i]) for i in numbers]
        return work.tensor(work.tiles(whole, group=rows.group, rows=tile["M"]), y.device)

    key = ("beside", tuple(starts), tuple(lengths), rows.group, tile["M"], y.device)
    _launch(rows, y, seen, seen.spans.once(key, made), tile, sinks=None, lse=None)


def attend_in_parts(rows: Rows, y: Tensor, seen: Seen, numbers: Sequence[int], *, sinks: Tensor | None) -> None:
    """The keys of a row in parts of one size, each in a program: few rows over many keys, as in decoding."""
    assert rows.kept is not None
    tile, page = sizes.part_tile(rows.most(seen, numbers), rows.width, rows.q.dtype, y.device), rows.k.shape[2]
    ids = IDS if page % tile["N"] == 0 else 0
    keys = part_of_keys(seen, numbers, groups=rows.groups, most=ids * page or LONGEST, device=y.device)
    items, joins, parts = seen.spans.once(
        ("parts", rows.kept.group, rows.group, page, keys, seen.reach, tile["M"], y.device),
        lambda: _cut(rows, seen, numbers, tile, keys=keys),
    )
    size = (parts, rows.groups, tile["M"])
    sums = torch.empty(size, device=y.device) if parts else None
    values = torch.empty(*size, y.shape[-1], device=y.device) if parts else None
    _launch(rows, y, seen, items, tile, sinks=sinks, lse=sums, parts=values, ids=ids)
    if sums is not None and values is not None:
        _join(rows, y, joins, sums, values, tile, most=min(tile["M"], rows.most(seen, numbers)))


def attend_on_device(rows: Rows, y: Tensor, seen: Seen, spans: DecodeSpans, *, sinks: Tensor | None) -> None:
    """As `attend_in_parts`, of a step whose numbers are on the device alone: launches are the same every time."""
    assert rows.kept is not None
    tile, page = sizes.part_tile(rows.group, rows.width, rows.q.dtype, y.device), rows.k.shape[2]
    tiles = triton.cdiv(rows.group, tile["M"])
    wanted = triton.cdiv(2 * multiprocessors(y.device), rows.groups * tiles)
    items, joins = spans.once(
        ("listed", seen.reach, tiles, tile["M"], wanted),
        lambda: listing.listed(spans, seen.reach, tiles=tiles, rows=tile["M"], wanted=wanted),
    )
    sums, values = None, None
    if listing.most_parts(spans, seen.reach) > 1:
        size = (items.shape[0] * items.shape[1], rows.groups, tile["M"])
        sums, values = torch.empty(size, device=y.device), torch.empty(*size, y.shape[-1], device=y.device)
    near = page % tile["N"] == 0 and listing.most_keys(spans, seen.reach, wanted=wanted) // page + 2 <= IDS
    items = items.flatten(0, 1)
    _launch(rows, y, seen, items, tile, sinks=sinks, lse=sums, parts=values, ids=IDS if near else 0)
    if sums is not None and values is not None:
        _join(rows, y, joins.flatten(0, 1), sums, values, tile, most=min(tile["M"], rows.group))


def _join(rows: Rows, y: Tensor, joins: Tensor, sums: Tensor, values: Tensor, tile: Config, *, most: int) -> None:
    V = y.shape[-1]
    combine[(len(joins), most, rows.groups)](
        values, sums, y, joins, y.shape[1], rows.group, V, triton.next_power_of_2(V), tile["M"], JOINED,
        num_warps=4 if y.dtype.itemsize > 2 else 2,  # with two, float32 spills on an H100 to have room for more blocks
    )  # fmt: skip


def part_of_keys(seen: Seen, numbers: Sequence[int], *, groups: int, most: int, device: torch.device) -> int:
    """Keys of a part: as many as give every multiprocessor two programs, a power of two from 256 up."""
    reach, spans = seen.reach, seen.spans
    keys = sum(spans.lengths[i] - reach.start(spans.past[i]) for i in numbers) * groups
    wanted: int = triton.next_power_of_2(keys // (2 * multiprocessors(device)))
    return min(most, max(256, wanted))


def _cut(rows: Rows, seen: Seen, numbers: Sequence[int], tile: Config, *, keys: int) -> tuple[Tensor, Tensor, int]:
    whole = work.tiles(work.sequences(seen.spans, numbers, rows.kept), group=rows.group, rows=tile["M"])
    items, joins = work.parts(whole, reach=seen.reach, group=rows.group, keys=keys, align=rows.k.shape[2])
    count = sum(join.parts for join in joins)
    return work.tensor(items, rows.q.device), work.tensor(joins, rows.q.device), count


def _launch(
    rows: Rows,
    y: Tensor,
    seen: Seen,
    items: Tensor,
    tile: Config,
    *,
    sinks: Tensor | None,
    lse: Tensor | None,
    parts: Tensor | None = None,
    ids: int = 0,
) -> None:
    kept, device = rows.kept, y.device
    pages = None if kept is None else _pages(kept, seen, device)
    constants = seen.constants(y.shape[1], rows.groups, K=rows.q.shape[-1], V=y.shape[-1])
    forward[(len(items), rows.groups)](
        rows.q, rows.k, rows.v, y, lse, parts, items, pages, seen.blocks(device), seen.slopes(device), sinks,
        rows.q.stride(0), rows.q.stride(1), *rows.strides, seen.factor,
        PAGE=0 if kept is None else kept.k.shape[2], IDS=ids, EIGHTS=not any(n % 8 for n in rows.strides),
        **constants, **tile,
    )  # fmt: skip


def _pages(kept: Kept, seen: Seen, device: torch.device) -> Tensor:
    if isinstance(seen.spans, DecodeSpans):
        return seen.spans.tables_NRP[kept.group]
    return seen.spans.once(
        ("pages", kept.group, device), lambda: work.tensor([*chain.from_iterable(kept.tables)], device)
    )
