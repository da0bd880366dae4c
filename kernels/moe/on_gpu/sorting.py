"""Pairs of a row and an expert of its own, put in the order of experts on the device, and cut in tiles of rows.

A counting sort: a pair stands behind those of experts before its own, and behind those of its own that came before it.
So it is stable, and the same at each run. Nothing of it is read by the host, which only knows how many tiles there can
be: a program past the last of them has nothing to do.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

ONE_PROGRAM = 1024  # pairs that one program counts by itself
CHUNK = 128  # of more pairs than that, which a program counts


class Sorted(NamedTuple):
    """N pairs of E experts: the n-th in order is pair `order[n]`, and expert e has those from `offsets[e]` on.

    Tile t, of `rows` pairs at most, begins at `tile_rows[t]` and is of expert `tile_experts[t]`; there are `used`
    tiles, and never more than `most`. Pairs of experts past the last stand behind all, in no tile.
    """

    order: Tensor
    offsets: Tensor
    tile_experts: Tensor
    tile_rows: Tensor
    used: Tensor
    most: int
    rows: int


def sort_pairs(chosen_TK: Tensor, experts: int, rows: int) -> Sorted:
    count = chosen_TK.numel()
    most = min(count, count // rows + min(experts, count))
    sizes = (count, experts + 1, most, most, 1)
    found = torch.empty(sum(sizes), dtype=torch.int32, device=chosen_TK.device).split(sizes)
    order, offsets, tile_experts, tile_rows, used = found
    to = Sorted(order, offsets, tile_experts, tile_rows, used, most, rows)
    chosen = chosen_TK.contiguous()
    block = triton.next_power_of_2(experts + 1)
    if count <= ONE_PROGRAM:
        pairs = max(16, triton.next_power_of_2(count))
        _sort[(1,)](chosen, *found, count, experts, PAIRS=pairs, STEP=16, EXPERTS=block, ROWS=rows, num_warps=8)
        return to
    chunks = triton.cdiv(count, CHUNK)
    ranks = torch.empty(count, dtype=torch.int32, device=chosen.device)
    counts = torch.zeros(chunks, experts + 1, dtype=torch.int32, device=chosen.device)
    _count[(chunks,)](chosen, ranks, counts, count, experts, PAIRS=CHUNK, num_warps=8)
    _sum[(1,)](counts, *found[1:], chunks, experts, CHUNKS=16, EXPERTS=block, ROWS=rows, num_warps=8)
    _place[(chunks,)](chosen, ranks, counts, found[0], found[1], count, experts, PAIRS=CHUNK, num_warps=4)
    return to


@triton.jit
def _expert(chosen_ptr, pair, count, experts):
    """The number of a pair's expert, one for all past the last, and one above these where there is no pair."""
    expert = tl.minimum(tl.load(chosen_ptr + pair, mask=pair < count, other=0), experts).to(tl.int32)
    return tl.where(pair < count, expert, experts + 1)


@triton.jit
def _cut(expert, counts, before, experts, offsets_ptr, tile_experts_ptr, tile_rows_ptr, used_ptr, ROWS: tl.constexpr):
    """Where each expert begins, and its tiles."""
    tl.store(offsets_ptr + expert, before, mask=expert <= experts)
    tiles = tl.where(expert < experts, (counts + ROWS - 1) // ROWS, 0)
    first = tl.cumsum(tiles, 0) - tiles
    tl.store(used_ptr, tl.sum(tiles, 0))
    for t in range(0, tl.max(tiles, 0)):
        tl.store(tile_experts_ptr + first + t, expert, mask=t < tiles)
        tl.store(tile_rows_ptr + first + t, before + t * ROWS, mask=t < tiles)


@triton.jit(do_not_specialize=["count"])
def _sort(
    chosen_ptr, order_ptr, offsets_ptr, tile_experts_ptr, tile_rows_ptr, used_ptr, count, experts,
    PAIRS: tl.constexpr, STEP: tl.constexpr, EXPERTS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    pair, expert = tl.arange(0, PAIRS), tl.arange(0, EXPERTS)
    own = _expert(chosen_ptr, pair, count, experts)
    place = tl.zeros((PAIRS,), tl.int32)
    before, counts = tl.zeros((EXPERTS,), tl.int32), tl.zeros((EXPERTS,), tl.int32)
    for start in range(0, count, STEP):
        other = start + tl.arange(0, STEP)
        its = _expert(chosen_ptr, other, count, experts)[None, :]
        ahead = (its < own[:, None]) | ((its == own[:, None]) & (other[None, :] < pair[:, None]))
        place += tl.sum(ahead.to(tl.int32), 1)
        before += tl.sum((its < expert[:, None]).to(tl.int32), 1)
        counts += tl.sum((its == expert[:, None]).to(tl.int32), 1)
    tl.store(order_ptr + place, pair, mask=pair < count)
    _cut(expert, counts, before, experts, offsets_ptr, tile_experts_ptr, tile_rows_ptr, used_ptr, ROWS)


@triton.jit(do_not_specialize=["count"])
def _count(chosen_ptr, ranks_ptr, counts_ptr, count, experts, PAIRS: tl.constexpr):
    """How many of a chunk's pairs are of each expert, and which of them each pair is."""
    start = tl.program_id(0) * PAIRS
    pair, other = start + tl.arange(0, PAIRS), start + tl.arange(0, PAIRS)[None, :]
    own = _expert(chosen_ptr, pair, count, experts)
    same = own[:, None] == _expert(chosen_ptr, other, count, experts)
    rank = tl.sum((same & (other < pair[:, None])).to(tl.int32), 1)
    after = tl.sum((same & (other > pair[:, None])).to(tl.int32), 1)
    tl.store(ranks_ptr + pair, rank, mask=pair < count)
    last = (pair < count) & (after == 0)
    tl.store(counts_ptr + tl.program_id(0) * (experts + 1) + own, rank + 1, mask=last)


@triton.jit(do_not_specialize=["chunks"])
def _sum(
    counts_ptr, offsets_ptr, tile_experts_ptr, tile_rows_ptr, used_ptr, chunks, experts,
    CHUNKS: tl.constexpr, EXPERTS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """In the place of each count, those of its expert in the chunks before."""
    expert = tl.arange(0, EXPERTS)
    so_far = tl.zeros((EXPERTS,), tl.int32)
    for start in range(0, chunks, CHUNKS):
        chunk = start + tl.arange(0, CHUNKS)[:, None]
        at, mask = chunk * (experts + 1) + expert[None, :], (chunk < chunks) & (expert <= experts)[None, :]
        counts = tl.load(counts_ptr + at, mask=mask, other=0)
        tl.store(counts_ptr + at, so_far[None, :] + tl.cumsum(counts, 0) - counts, mask=mask)
        so_far += tl.sum(counts, 0)
    before = tl.cumsum(so_far, 0) - so_far
    _cut(expert, so_far, before, experts, offsets_ptr, tile_experts_ptr, tile_rows_ptr, used_ptr, ROWS)


@triton.jit(do_not_specialize=["count"])
def _place(chosen_ptr, ranks_ptr, counts_ptr, order_ptr, offsets_ptr, count, experts, PAIRS: tl.constexpr):
    pair = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    mask = pair < count
    own = tl.minimum(_expert(chosen_ptr, pair, count, experts), experts)
    place = tl.load(ranks_ptr + pair, mask=mask, other=0) + tl.load(offsets_ptr + own)
    place += tl.load(counts_ptr + tl.program_id(0) * (experts + 1) + own)
    tl.store(order_ptr + place, pair, mask=mask)
