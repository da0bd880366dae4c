"""One pass over the keys that a tile of queries sees, with a running maximum and sum of each row.

The online softmax of Milakov and Gimelshein 2018, arXiv 1805.02867, in the order of FlashAttention-2 (Dao 2023, arXiv
2307.08691). Keys and values are rows of the step, or stand in pages. An item of the work list is a tile of packed rows
of one sequence, and which keys of it: where these are a part only, what comes of them is kept for `combine`.
"""
# M packed rows, N keys, K and V head widths

import triton
import triton.language as tl

from triptych.kernels.attention.on_gpu.tiles import LOG2E, blocks_of, in_sight, keys_of, scores, unit

ITEM = tl.constexpr(8)  # numbers of an item: see work.py
NEVER = tl.constexpr(-1.0e30)  # a maximum of nothing, from which differences are numbers


@triton.jit
def forward(
    q_ptr, k_ptr, v_ptr, y_ptr, lse_ptr, parts_ptr, work_ptr, pages_ptr, blocks_ptr, slopes_ptr, sinks_ptr,
    q_row, q_head, k_page, k_head, k_row, v_page, v_head, v_row, scale,
    HEADS: tl.constexpr, GROUP: tl.constexpr, K: tl.constexpr, V: tl.constexpr, PAGE: tl.constexpr, IDS: tl.constexpr,
    EIGHTS: tl.constexpr, CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr, WHOLE: tl.constexpr,
    CAP: tl.constexpr, SHARP: tl.constexpr, ALIBI: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    item, group = work_ptr + tl.program_id(0) * ITEM, tl.program_id(1)
    row0, new, past, first = tl.load(item), tl.load(item + 1), tl.load(item + 2), tl.load(item + 3)
    origin, low, high, slot = tl.load(item + 4), tl.load(item + 5), tl.load(item + 6), tl.load(item + 7)
    r = first + tl.arange(0, M)
    there = r < new * GROUP
    row, head, t = row0 + r // GROUP, group * GROUP + r % GROUP, past + r // GROUP
    col_K, col_V = tl.arange(0, BLOCK_K), tl.arange(0, BLOCK_V)
    at = row.to(tl.int64)[:, None] * q_row + head[:, None] * q_head + col_K[None, :]
    q = tl.load(q_ptr + at, mask=there[:, None] & (col_K < K)[None, :], other=0.0)
    slope, factor, starts, stops = 0.0 * t, 0.0, t, t
    if ALIBI is not None:
        slope, factor = tl.load(slopes_ptr + head, mask=there, other=0.0), tl.load(slopes_ptr + HEADS)
    if blocks_ptr is not None:
        starts, stops = blocks_of(blocks_ptr, row, there)
    begin, end, tile0, tile1, tile2, tile3 = keys_of(
        past + first // GROUP, past + tl.minimum((first + M - 1) // GROUP, new - 1), low, high, starts, stops,
        CAUSAL, WINDOW, CHUNK, blocks_ptr is not None, WHOLE, N,
    )  # fmt: skip
    highest = tl.full((M,), NEVER, tl.float32)
    total, y = tl.zeros((M,), tl.float32), tl.zeros((M, BLOCK_V), tl.float32)
    if sinks_ptr is not None:
        alone = slot < 0
        if PAGE:
            alone = low == 0  # of the parts of a sequence the first has the sink
        highest = tl.where(alone, tl.load(sinks_ptr + head, mask=there, other=0.0).to(tl.float32) * LOG2E, highest)
        total += tl.where(alone, 1.0, 0.0)
    if EIGHTS:  # heads of 72 numbers: Triton itself looks for multiples of 16 alone
        k_head, k_row = k_head // 8 * 8, k_row // 8 * 8
        v_head, v_row = v_head // 8 * 8, v_row // 8 * 8
    k_ptr += group.to(tl.int64) * k_head + col_K[None, :]
    v_ptr += group.to(tl.int64) * v_head + col_V[None, :]
    ids, ids_from = tile0, 0
    if PAGE:
        pages_ptr += origin
        if IDS:
            ids_from = begin // PAGE
            numbers = ids_from + tl.arange(0, IDS)
            ids = tl.load(pages_ptr + numbers, mask=numbers < tl.cdiv(end, PAGE), other=0)
    else:
        k_ptr += origin.to(tl.int64) * k_row
        v_ptr += origin.to(tl.int64) * v_row
    for tile in tl.range(tile1, tile2):
        highest, total, y = _look(
            tile, q, highest, total, y, k_ptr, v_ptr, pages_ptr, ids, ids_from, k_page, k_row, v_page, v_row,
            scale, t, begin, end, slope, factor, starts, stops, col_K, col_V, K, V, PAGE, IDS,
            CAUSAL, WINDOW, CHUNK, blocks_ptr is not None, WHOLE, CAP, SHARP, ALIBI, BLOCK_K, BLOCK_V, N, False,
        )  # fmt: skip
    for i in tl.range(0, tile1 - tile0 + tile3 - tile2):
        tile = tl.where(i < tile1 - tile0, tile0 + i, tile2 + i - (tile1 - tile0))
        highest, total, y = _look(
            tile, q, highest, total, y, k_ptr, v_ptr, pages_ptr, ids, ids_from, k_page, k_row, v_page, v_row,
            scale, t, begin, end, slope, factor, starts, stops, col_K, col_V, K, V, PAGE, IDS,
            CAUSAL, WINDOW, CHUNK, blocks_ptr is not None, WHOLE, CAP, SHARP, ALIBI, BLOCK_K, BLOCK_V, N, True,
        )  # fmt: skip
    some = tl.where(total > 0, total, 1.0)  # none is seen of a part that all of a row's window is before
    y, lse = y / some[:, None], tl.where(total > 0, highest + tl.log2(some), float("-inf"))
    if parts_ptr is not None:
        place = (slot.to(tl.int64) * tl.num_programs(1) + group) * M + tl.arange(0, M)
        kept = there & (slot + 0 * r >= 0)
        there = there & (slot + 0 * r < 0)
        tl.store(parts_ptr + place[:, None] * V + col_V[None, :], y, mask=kept[:, None] & (col_V < V)[None, :])
        tl.store(lse_ptr + place, lse, mask=kept)
    place = row.to(tl.int64) * HEADS + head
    mask = there[:, None] & (col_V < V)[None, :]
    tl.store(y_ptr + place[:, None] * V + col_V[None, :], y.to(y_ptr.dtype.element_ty), mask=mask)
    if parts_ptr is None and lse_ptr is not None:
        tl.store(lse_ptr + place, lse, mask=there)


@triton.jit
def _look(
    tile, q, highest, total, y, k_ptr, v_ptr, pages_ptr, ids, ids_from, k_page, k_row, v_page, v_row,
    scale, t, begin, end, slope, factor, starts, stops, col_K, col_V,
    K: tl.constexpr, V: tl.constexpr, PAGE: tl.constexpr, IDS: tl.constexpr,
    CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr, BLOCKS: tl.constexpr, WHOLE: tl.constexpr,
    CAP: tl.constexpr, SHARP: tl.constexpr, ALIBI: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
    N: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Rows after one more tile of keys."""
    s = tile * N + tl.arange(0, N)
    inside = (s >= begin) & (s < end)
    page = _page(tile, s, inside, pages_ptr, ids, ids_from, PAGE, IDS, N)
    k = _rows(k_ptr, s, inside, page, k_page, k_row, col_K, K, PAGE, BLOCK_K, MASKED)
    at, t, s = s, t[:, None], s[None, :]
    x = tl.dot(q, tl.trans(k), input_precision="ieee")
    x = scores(x, scale, t, s, slope[:, None], factor, CAP, SHARP, ALIBI)
    if MASKED:
        seen = in_sight(t, s, starts[:, None], stops[:, None], CAUSAL, WINDOW, CHUNK, BLOCKS, WHOLE)
        x = tl.where(seen & inside[None, :], x, float("-inf"))
    left = unit(scale, CAP, SHARP, ALIBI)
    higher = tl.maximum(highest, tl.max(x, 1) * left)
    weights = tl.exp2(x * left - higher[:, None])
    fading = tl.exp2(highest - higher)
    v = _rows(v_ptr, at, inside, page, v_page, v_row, col_V, V, PAGE, BLOCK_V, MASKED)
    y = tl.dot(weights.to(v.dtype), v, y * fading[:, None], input_precision="ieee")
    return higher, total * fading + tl.sum(weights, 1), y


@triton.jit
def _page(tile, s, inside, pages_ptr, ids, ids_from, PAGE: tl.constexpr, IDS: tl.constexpr, N: tl.constexpr):
    """The page of a tile, or of each of its keys."""
    if PAGE == 0:
        page = tile
    elif IDS:
        page = tl.sum(tl.where(tl.arange(0, IDS) == tile * N // PAGE - ids_from, ids, 0), 0)
    elif PAGE % N == 0:
        page = tl.load(pages_ptr + tile * N // PAGE)
    else:
        page = tl.load(pages_ptr + s // PAGE, mask=inside, other=0)
    return page


@triton.jit
def _rows(
    x_ptr, s, inside, page, page_stride, row_stride, col,
    WIDTH: tl.constexpr, PAGE: tl.constexpr, BLOCK: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """[N, BLOCK] keys or values; what is not there, or out of reach, is nought."""
    at = page.to(tl.int64) * page_stride + s % PAGE * row_stride if PAGE else s.to(tl.int64) * row_stride
    if MASKED:
        x = tl.load(x_ptr + at[:, None], mask=inside[:, None] & (col < WIDTH)[None, :], other=0.0)
    elif WIDTH != BLOCK:
        x = tl.load(x_ptr + at[:, None], mask=(col < WIDTH)[None, :], other=0.0)
    else:
        x = tl.load(x_ptr + at[:, None])
    return x
