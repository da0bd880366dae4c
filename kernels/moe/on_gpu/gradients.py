"""What matrices of experts get of the rows that went through them, and shares of what they multiplied."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.moe.on_gpu.sorting import Sorted


def outer_products(
    left: Tensor,
    right: Tensor,
    plan: Sorted,
    *,
    like: Tensor,
    left_k: int = 0,
    right_k: int = 0,
    left_shares: Tensor | None = None,
    right_shares: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Of each expert the sum of left^T right over its rows, [E, I, J] in the dtype of `like`; of left alone [E, I].

    Rows are [N, ...] in the plan's order; or [T, ...], of which each has `k` pairs, where there is a k. Those with
    shares are multiplied by these.
    """
    y = torch.empty(like.shape, dtype=like.dtype, device=like.device)
    sums = None if bias is None else torch.empty(bias.shape, dtype=bias.dtype, device=bias.device)
    experts, i, j = like.shape
    wide = left.dtype != torch.float32
    tile = {"LEFTS": 128, "RIGHTS": 128, "ROWS": 32} if wide else {"LEFTS": 64, "RIGHTS": 32, "ROWS": 32}
    _outer[(experts * triton.cdiv(i, tile["LEFTS"]) * triton.cdiv(j, tile["RIGHTS"]),)](
        left, right, left_shares, right_shares, y, sums, plan.order, plan.offsets, i, j, left_k, right_k,
        LEFT=left_k > 0, RIGHT=right_k > 0, **tile, num_warps=8, num_stages=4,
    )  # fmt: skip
    return y, sums


def dots(
    left: Tensor, right: Tensor, *, idle: tuple[Tensor, Tensor], chosen: Tensor, experts: int, like: Tensor
) -> Tensor:
    """Rows of left [T, D] times those that their pairs have in right [N, D], summed; of idle pairs, of two others."""
    y = torch.empty(like.shape, dtype=like.dtype, device=like.device)
    width = left.shape[1]
    block = min(2048, triton.next_power_of_2(width))
    _dots[(y.numel(),)](left, right, *idle, chosen, y, width, experts, K=chosen.shape[1], BLOCK=block, num_warps=4)
    return y


@triton.jit(do_not_specialize=["left_k", "right_k"])
def _outer(
    left_ptr, right_ptr, left_shares_ptr, right_shares_ptr, y_ptr, sums_ptr, order_ptr, offsets_ptr,
    rows_i, rows_j, left_k, right_k,
    LEFT: tl.constexpr, RIGHT: tl.constexpr, LEFTS: tl.constexpr, RIGHTS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    blocks_i, blocks_j = tl.cdiv(rows_i, LEFTS), tl.cdiv(rows_j, RIGHTS)
    block_j, others = tl.program_id(0) % blocks_j, tl.program_id(0) // blocks_j
    block_i, expert = others % blocks_i, (others // blocks_i).to(tl.int64)
    i, j = block_i * LEFTS + tl.arange(0, LEFTS), block_j * RIGHTS + tl.arange(0, RIGHTS)
    y, total = tl.zeros((LEFTS, RIGHTS), tl.float32), tl.zeros((LEFTS,), tl.float32)
    end = tl.load(offsets_ptr + expert + 1)
    for start in range(tl.load(offsets_ptr + expert), end, ROWS):
        n = start + tl.arange(0, ROWS)
        live = n < end
        pair = tl.load(order_ptr + n, mask=live, other=0).to(tl.int64)
        left_row, right_row = n.to(tl.int64), n.to(tl.int64)
        if LEFT:
            left_row = pair // left_k
        if RIGHT:
            right_row = pair // right_k
        at, mask = left_row[:, None] * rows_i + i[None, :], live[:, None] & (i < rows_i)[None, :]
        left = tl.load(left_ptr + at, mask=mask, other=0.0)
        if left_shares_ptr is not None:
            share = tl.load(left_shares_ptr + pair).to(tl.float32)[:, None]
            left = (left.to(tl.float32) * share).to(left_ptr.dtype.element_ty)
        at, mask = right_row[:, None] * rows_j + j[None, :], live[:, None] & (j < rows_j)[None, :]
        right = tl.load(right_ptr + at, mask=mask, other=0.0)
        if right_shares_ptr is not None:
            share = tl.load(right_shares_ptr + pair).to(tl.float32)[:, None]
            right = (right.to(tl.float32) * share).to(right_ptr.dtype.element_ty)
        y = tl.dot(tl.trans(left), right, y, input_precision="ieee")
        if sums_ptr is not None:
            total += tl.sum(left.to(tl.float32), 0)
    if sums_ptr is not None and block_j == 0:
        tl.store(sums_ptr + expert * rows_i + i, total.to(sums_ptr.dtype.element_ty), mask=i < rows_i)
    at = expert * rows_i * rows_j + i[:, None] * rows_j + j[None, :]
    mask = (i < rows_i)[:, None] & (j < rows_j)[None, :]
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _dots(
    left_ptr, right_ptr, idle_left_ptr, idle_right_ptr, chosen_ptr, y_ptr, width, experts,
    K: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    pair = tl.program_id(0).to(tl.int64)
    row = pair // K * width
    idle = tl.load(chosen_ptr + pair) >= experts
    left = tl.where(idle, idle_left_ptr + row, left_ptr + row)
    right = tl.where(idle, idle_right_ptr + row, right_ptr + pair * width)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, width, BLOCK):
        col = start + tl.arange(0, BLOCK)
        one = tl.load(left + col, mask=col < width, other=0.0).to(tl.float32)
        total += one * tl.load(right + col, mask=col < width, other=0.0).to(tl.float32)
    tl.store(y_ptr + pair, tl.sum(total, 0).to(y_ptr.dtype.element_ty))
