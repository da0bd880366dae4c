"""The list of what programs do, made on the device: of a step whose numbers the host does not know.

As `work.py` makes it, but for this: there are as many items as there can be at the most, and those beyond the last one
do nothing; all parts are of one size, by which the keys of all sequences make about as many as are wanted.
"""

# B sequences, W items, J tiles of packed rows

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.attention.decoding import DecodeSpans
from triptych.kernels.attention.on_gpu.tiles import reach_of
from triptych.kernels.attention.spans import Reach

LEAST, ALIGN = 256, 64  # keys of a part at the least; parts begin at a multiple
AT_ONCE = 64  # items of a program
ITEM, JOIN = tl.constexpr(8), tl.constexpr(5)  # numbers of each


def span(spans: DecodeSpans, reach: Reach) -> int:
    """The most keys of a row that are cut into parts."""
    return spans.most if reach.rows is None else min(spans.most, reach.rows + ALIGN)


def most_keys(spans: DecodeSpans, reach: Reach, *, wanted: int) -> int:
    """The most keys that a part can have."""
    keys = -(-len(spans.lengths_B) * span(spans, reach) // wanted)
    return max(LEAST, -(-keys // ALIGN) * ALIGN)


def most_parts(spans: DecodeSpans, reach: Reach) -> int:
    """The most parts that the keys of a row can be cut into."""
    return -(-span(spans, reach) // LEAST)


def listed(spans: DecodeSpans, reach: Reach, *, tiles: int, rows: int, wanted: int) -> tuple[Tensor, Tensor]:
    """Items [J, W, 8] and joins [J, B, 5] of so many `tiles` of so many packed `rows`; see `work.py`.

    The outcome of an item that is a part goes where its own number says. A sequence that is not there has one item,
    which looks at no key.
    """
    lengths_B, rows_B = spans.lengths_B, spans.rows_B
    B = len(lengths_B)
    W = B + min(wanted, -(-B * span(spans, reach) // LEAST))
    items = torch.empty(tiles, W, ITEM.value, dtype=torch.int32, device=lengths_B.device)
    joins = torch.empty(tiles, B, JOIN.value, dtype=torch.int32, device=lengths_B.device)
    _list[(triton.cdiv(W, AT_ONCE),)](
        lengths_B, rows_B, items, joins, B, W, spans.tables_NRP.shape[2], wanted, tiles,
        WINDOW=reach.window or 0, CHUNK=reach.chunk or 0, M=rows, LEAST=LEAST, ALIGN=ALIGN,
        SEQUENCES=triton.next_power_of_2(B), ITEMS=AT_ONCE, num_warps=4,
    )  # fmt: skip
    return items, joins


@triton.jit(do_not_specialize=["B", "W", "P", "wanted", "tiles"])
def _list(
    lengths_ptr, rows_ptr, items_ptr, joins_ptr, B, W, P, wanted, tiles,
    WINDOW: tl.constexpr, CHUNK: tl.constexpr, M: tl.constexpr, LEAST: tl.constexpr, ALIGN: tl.constexpr,
    SEQUENCES: tl.constexpr, ITEMS: tl.constexpr,
):  # fmt: skip
    i = tl.arange(0, SEQUENCES)
    length = tl.load(lengths_ptr + i, mask=i < B, other=0)
    keys = tl.sum(length - _start(length, WINDOW, CHUNK, ALIGN), 0)
    keys = tl.maximum(LEAST, tl.cdiv(tl.cdiv(keys, wanted), ALIGN) * ALIGN)
    parts = tl.where(i < B, _parts(length, keys, WINDOW, CHUNK, ALIGN), 0)
    ends = tl.cumsum(parts, 0)

    w = tl.program_id(0) * ITEMS + tl.arange(0, ITEMS)
    number = tl.sum((ends[None, :] <= w[:, None]).to(tl.int32), 1)
    there = number < B
    at = w - tl.sum(tl.where(i[None, :] < number[:, None], parts[None, :], 0), 1)
    length = tl.load(lengths_ptr + number, mask=there, other=0)
    row = tl.load(rows_ptr + number, mask=there, other=0)
    low = _start(length, WINDOW, CHUNK, ALIGN) + at * keys
    high = tl.where(there, tl.minimum(low + keys, length), 0)
    low = tl.where(there & (at > 0), low, 0)  # the first begins at nought, which says that it is the first
    is_part = there & (_parts(length, keys, WINDOW, CHUNK, ALIGN) > 1)
    joining = tl.where(tl.program_id(0) == 0, B, 0)  # one program joins
    for tile in range(tiles):
        item, mask = items_ptr + (tile * W + w) * ITEM, w < W
        tl.store(item, tl.where(there, number, 0), mask=mask)
        tl.store(item + 1, there.to(tl.int32), mask=mask)
        tl.store(item + 2, tl.maximum(length - 1, 0), mask=mask)
        tl.store(item + 3, 0 * w + tile * M, mask=mask)
        tl.store(item + 4, row * P, mask=mask)
        tl.store(item + 5, low, mask=mask)
        tl.store(item + 6, high, mask=mask)
        tl.store(item + 7, tl.where(is_part, tile * W + w, -1), mask=mask)
        join, mask = joins_ptr + (tile * B + i) * JOIN, i < joining
        tl.store(join, i, mask=mask)
        tl.store(join + 1, (parts > 1).to(tl.int32), mask=mask)
        tl.store(join + 2, 0 * i + tile * M, mask=mask)
        tl.store(join + 3, tile * W + ends - parts, mask=mask)
        tl.store(join + 4, parts, mask=mask)


@triton.jit
def _start(length, WINDOW: tl.constexpr, CHUNK: tl.constexpr, ALIGN: tl.constexpr):
    """Where the first part of a sequence begins."""
    return reach_of(tl.maximum(length - 1, 0), WINDOW, CHUNK) // ALIGN * ALIGN


@triton.jit
def _parts(length, keys, WINDOW: tl.constexpr, CHUNK: tl.constexpr, ALIGN: tl.constexpr):
    return tl.maximum(tl.cdiv(length - _start(length, WINDOW, CHUNK, ALIGN), keys), 1)
