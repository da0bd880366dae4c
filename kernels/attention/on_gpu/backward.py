"""Gradients of attention over the rows of a step: scores are made again, a tile at a time.

As FlashAttention-2 has it (Dao 2023, arXiv 2307.08691, algorithm 2), in two kernels without atomics, so that two runs
give the same numbers: a tile of queries over its keys for their gradients, a tile of keys over its queries for those of
keys and values, which heads that share them are summed up in.
"""
# M packed rows, N keys, K and V head widths

import triton
import triton.language as tl

from triptych.kernels.attention.on_gpu.tiles import (
    LOG2E,
    blocks_of,
    capped,
    in_sight,
    keys_of,
    lean,
    queries_of,
    sharper,
)

ITEM = tl.constexpr(8)  # numbers of an item: see work.py


@triton.jit
def of_queries(
    q_ptr, k_ptr, v_ptr, grad_ptr, lse_ptr, delta_ptr, grad_q_ptr, work_ptr, blocks_ptr, slopes_ptr,
    q_row, q_head, k_head, k_row, v_head, v_row, factor, scale,
    HEADS: tl.constexpr, GROUP: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr, WHOLE: tl.constexpr,
    CAP: tl.constexpr, SHARP: tl.constexpr, ALIBI: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    item, group = work_ptr + tl.program_id(0) * ITEM, tl.program_id(1)
    row0, new, past, first = tl.load(item), tl.load(item + 1), tl.load(item + 2), tl.load(item + 3)
    origin, low, high = tl.load(item + 4), tl.load(item + 5), tl.load(item + 6)
    col_K, col_V = tl.arange(0, BLOCK_K), tl.arange(0, BLOCK_V)
    r = first + tl.arange(0, M)
    q, grad, lse, delta, slope, row, head, t, there = _queries(
        r, row0, new, past, group, q_ptr, grad_ptr, lse_ptr, delta_ptr, slopes_ptr, q_row, q_head, col_K, col_V,
        HEADS, GROUP, K, V, ALIBI,
    )  # fmt: skip
    slope_factor, starts, stops = 0.0, t, t
    if ALIBI is not None:
        slope_factor = tl.load(slopes_ptr + HEADS)
    if blocks_ptr is not None:
        starts, stops = blocks_of(blocks_ptr, row, there)
    begin, end, tile0, _1, _2, tile3 = keys_of(
        past + first // GROUP, past + tl.minimum((first + M - 1) // GROUP, new - 1), low, high, starts, stops,
        CAUSAL, WINDOW, CHUNK, blocks_ptr is not None, WHOLE, N,
    )  # fmt: skip
    k_ptr += group.to(tl.int64) * k_head + origin.to(tl.int64) * k_row + col_K[None, :]
    v_ptr += group.to(tl.int64) * v_head + origin.to(tl.int64) * v_row + col_V[None, :]
    grad_q = tl.zeros((M, BLOCK_K), tl.float32)
    for tile in tl.range(tile0, tile3):
        s = tile * N + tl.arange(0, N)
        inside = (s >= begin) & (s < end)
        k = tl.load(k_ptr + s.to(tl.int64)[:, None] * k_row, mask=inside[:, None] & (col_K < K)[None, :], other=0.0)
        v = tl.load(v_ptr + s.to(tl.int64)[:, None] * v_row, mask=inside[:, None] & (col_V < V)[None, :], other=0.0)
        _weights, of_scores = _again(
            q, k, grad, v, lse[:, None], delta[:, None], t[:, None], s[None, :], starts[:, None], stops[:, None],
            inside[None, :] & there[:, None], factor, slope[:, None], slope_factor,
            CAUSAL, WINDOW, CHUNK, blocks_ptr is not None, WHOLE, CAP, SHARP, ALIBI,
        )  # fmt: skip
        grad_q = tl.dot(of_scores.to(k.dtype), k, grad_q, input_precision="ieee")
    at = (row.to(tl.int64) * HEADS + head)[:, None] * K + col_K[None, :]
    mask = there[:, None] & (col_K < K)[None, :]
    tl.store(grad_q_ptr + at, (grad_q * scale).to(grad_q_ptr.dtype.element_ty), mask=mask)


@triton.jit
def of_keys(
    q_ptr, k_ptr, v_ptr, grad_ptr, lse_ptr, delta_ptr, grad_k_ptr, grad_v_ptr, work_ptr, blocks_ptr, slopes_ptr,
    q_row, q_head, k_head, k_row, v_head, v_row, factor, scale,
    HEADS: tl.constexpr, GROUP: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr, WHOLE: tl.constexpr,
    CAP: tl.constexpr, SHARP: tl.constexpr, ALIBI: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    item, group = work_ptr + tl.program_id(0) * ITEM, tl.program_id(1)
    row0, new, past, first = tl.load(item), tl.load(item + 1), tl.load(item + 2), tl.load(item + 3)
    col_K, col_V = tl.arange(0, BLOCK_K), tl.arange(0, BLOCK_V)
    n = first + tl.arange(0, N)  # of the new rows of the sequence
    inside, s = n < new, past + n
    at = (row0 + n).to(tl.int64)[:, None]
    mask_K, mask_V = inside[:, None] & (col_K < K)[None, :], inside[:, None] & (col_V < V)[None, :]
    k = tl.load(k_ptr + at * k_row + group * k_head + col_K[None, :], mask=mask_K, other=0.0)
    v = tl.load(v_ptr + at * v_row + group * v_head + col_V[None, :], mask=mask_V, other=0.0)
    slope_factor, starts, stops = 0.0, s, s
    if ALIBI is not None:
        slope_factor = tl.load(slopes_ptr + HEADS)
    if blocks_ptr is not None:
        starts, stops = blocks_of(blocks_ptr, row0 + n, inside)
    begin, end = queries_of(
        s, inside, past, past + new, starts, stops, CAUSAL, WINDOW, CHUNK, blocks_ptr is not None, WHOLE
    )  # fmt: skip
    grad_k, grad_v = tl.zeros((N, BLOCK_K), tl.float32), tl.zeros((N, BLOCK_V), tl.float32)
    for tile in tl.range((begin - past) * GROUP // M, tl.cdiv((end - past) * GROUP, M)):
        r = tile * M + tl.arange(0, M)
        q, grad, lse, delta, slope, row, _head, t, there = _queries(
            r, row0, new, past, group, q_ptr, grad_ptr, lse_ptr, delta_ptr, slopes_ptr, q_row, q_head, col_K, col_V,
            HEADS, GROUP, K, V, ALIBI,
        )  # fmt: skip
        first_s, last_s = t, t
        if blocks_ptr is not None:
            first_s, last_s = blocks_of(blocks_ptr, row, there)
        weights, of_scores = _again(
            k, q, v, grad, lse[None, :], delta[None, :], t[None, :], s[:, None], first_s[None, :], last_s[None, :],
            inside[:, None] & there[None, :], factor, slope[None, :], slope_factor,
            CAUSAL, WINDOW, CHUNK, blocks_ptr is not None, WHOLE, CAP, SHARP, ALIBI,
        )  # fmt: skip
        grad_v = tl.dot(weights.to(grad.dtype), grad, grad_v, input_precision="ieee")
        grad_k = tl.dot(of_scores.to(q.dtype), q, grad_k, input_precision="ieee")
    at = ((row0 + n).to(tl.int64) * tl.num_programs(1) + group)[:, None]
    tl.store(grad_k_ptr + at * K + col_K[None, :], (grad_k * scale).to(grad_k_ptr.dtype.element_ty), mask=mask_K)
    tl.store(grad_v_ptr + at * V + col_V[None, :], grad_v.to(grad_v_ptr.dtype.element_ty), mask=mask_V)


@triton.jit
def _queries(
    r, row0, new, past, group, q_ptr, grad_ptr, lse_ptr, delta_ptr, slopes_ptr, q_row, q_head, col_K, col_V,
    HEADS: tl.constexpr, GROUP: tl.constexpr, K: tl.constexpr, V: tl.constexpr, ALIBI: tl.constexpr,
):  # fmt: skip
    """All that is known of packed rows r."""
    there = r < new * GROUP
    row, head, t = row0 + r // GROUP, group * GROUP + r % GROUP, past + r // GROUP
    at = row.to(tl.int64)[:, None] * q_row + head[:, None] * q_head + col_K[None, :]
    q = tl.load(q_ptr + at, mask=there[:, None] & (col_K < K)[None, :], other=0.0)
    place = row.to(tl.int64) * HEADS + head
    mask = there[:, None] & (col_V < V)[None, :]
    grad = tl.load(grad_ptr + place[:, None] * V + col_V[None, :], mask=mask, other=0.0)
    lse = tl.load(lse_ptr + place, mask=there, other=0.0)
    delta = tl.load(delta_ptr + place, mask=there, other=0.0)
    slope = 0.0 * lse
    if ALIBI is not None:
        slope = tl.load(slopes_ptr + head, mask=there, other=0.0)
    return q, grad, lse, delta, slope, row, head, t, there


@triton.jit
def _again(
    left, right, of_left, of_right, lse, delta, t, s, starts, stops, there, factor, slope, slope_factor,
    CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr, BLOCKS: tl.constexpr, WHOLE: tl.constexpr,
    CAP: tl.constexpr, SHARP: tl.constexpr, ALIBI: tl.constexpr,
):  # fmt: skip
    """The weights of the forward pass, and the gradient of the scaled products; all of a shape to go with them.

    `left` are queries and `right` keys, beside gradients and values, or the other way around.
    """
    x = tl.dot(left, tl.trans(right), input_precision="ieee")
    steep = 1.0
    if CAP is not None:
        x = capped(x, factor, CAP)
        part = x / (CAP * LOG2E)
        steep = 1.0 - part * part
    else:
        x = x * factor
    if SHARP is not None:
        x *= sharper(t, SHARP)
        steep *= sharper(t, SHARP)
    if ALIBI is not None:
        x += lean(t, s, slope, slope_factor, ALIBI)
    seen = in_sight(t, s, starts, stops, CAUSAL, WINDOW, CHUNK, BLOCKS, WHOLE) & there
    weights = tl.exp2(tl.where(seen, x - lse, float("-inf")))
    of_weights = tl.dot(of_left, tl.trans(of_right), input_precision="ieee")
    return weights, weights * (of_weights - delta) * steep
