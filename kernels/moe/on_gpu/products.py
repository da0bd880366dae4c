"""Products of the rows of each expert with matrices of its own: tiles of rows by blocks of columns.

Few rows are multiplied the other way round, as (weight x^T)^T, with the weight on the side where a Hopper's tensor
cores take at least 64 rows; so a tile of 16 rows does not read more than it must.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.gated.activated import activated, sigmoid
from triptych.kernels.moe.on_gpu.sorting import Sorted
from triptych.kernels.tuned import capability, tuned

Constants = Mapping[str, Any]
NOTHING: Constants = {"NAME": None, "HALVES": False, "LIMIT": None, "ALPHA": None}


def rows_a_tile(x: Tensor, pairs: int, experts: int) -> int:
    """So many as experts have of them, about: 16, 32, 64 or 128."""
    rows = 1 << (-(-pairs // experts) - 1).bit_length()
    rows = min(128, max(16, rows))
    return min(rows, 64) if x.dtype == torch.float32 else rows


def products(
    x: Tensor,
    weights: Tensor,
    plan: Sorted | Tensor,
    *,
    pairs: int,
    k: int = 0,
    bias: Tensor | None = None,
    shares: Tensor | None = None,
    ordered: bool = False,
    inner: Constants = NOTHING,
) -> Tensor:
    """Rows of x times the matrices [E, O, I] of their experts -> [N, O], or what `inner` makes of it.

    The plan says which expert each pair has; where few pairs need no order it is their experts. x is [N, I] in the
    plan's order; or [T, I], of which each row has `k` pairs, where there is a k. What comes out is in that order
    (`ordered`), or in that of pairs. `shares` of pairs multiply the products, before a bias.
    """
    experts, columns, width = weights.shape
    columns = columns // 2 if inner["HALVES"] else columns
    y = torch.empty(pairs, columns, dtype=x.dtype, device=x.device)
    told, most, rows = (
        (plan[:5], plan.most, plan.rows) if isinstance(plan, Sorted) else ((plan, *[None] * 4), pairs, 16)
    )
    tile = _tile(x, rows, width, columns, halves=inner["HALVES"])
    blocks = triton.cdiv(columns, tile["COLUMNS"])
    _products[(most * blocks,)](
        x, weights, bias, shares, y, *told, experts, width, columns, k, x.stride(0), *weights.stride(),
        GATHER=k > 0, ORDERED=ordered, EVEN=not (width % tile["STEP"] or columns % tile["COLUMNS"]), **inner, **tile,
    )  # fmt: skip
    return y


def _tile(x: Tensor, rows: int, width: int, columns: int, *, halves: bool) -> dict[str, Any]:
    if x.dtype == torch.float32:
        rule = {"COLUMNS": 32 if halves or rows == 64 else 64, "STEP": 32, "num_warps": 4 if rows == 16 else 8}
    elif rows == 16:
        rule = {"COLUMNS": 64, "STEP": 64 if width % 128 else 128, "num_warps": 4}
    elif rows <= 64:
        rule = {"COLUMNS": 64 if halves else 128, "STEP": 64, "num_warps": 4}
    else:
        few = halves and (capability(x.device) < 90 or columns % 128)  # registers hold what is summed up, and masks
        rule = {"COLUMNS": 64 if few else 128, "STEP": 64, "num_warps": 8}
    rule["num_stages"] = 3 if x.dtype == torch.float32 or (halves and rows == 128) else 4
    bucket = f"{rows} rows, {'gate and up' if halves else 'one matrix'}"  # of float32 fewer numbers fit
    rule |= tuned("moe", x.device, bucket if x.dtype.itemsize == 2 else f"{bucket}, {x.dtype.itemsize} bytes") or {}
    return {**rule, "ROWS": rows, "TURNED": rows < 64}


@triton.jit(do_not_specialize=["k"])
def _products(  # noqa: PLR0912  (most of them are compiled away)
    x_ptr, w_ptr, bias_ptr, shares_ptr, y_ptr,
    order_ptr, offsets_ptr, tile_experts_ptr, tile_rows_ptr, used_ptr,
    experts, width, columns, k, x_stride, w_stride_e, w_stride_o, w_stride_i,
    GATHER: tl.constexpr, ORDERED: tl.constexpr, EVEN: tl.constexpr,
    NAME: tl.constexpr, HALVES: tl.constexpr, LIMIT: tl.constexpr, ALPHA: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEP: tl.constexpr, TURNED: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(columns, COLUMNS)
    tile, block = tl.program_id(0) // blocks, tl.program_id(0) % blocks
    if used_ptr is not None:
        if tile >= tl.load(used_ptr):
            return
        expert = tl.load(tile_experts_ptr + tile).to(tl.int64)
        first, end = tl.load(tile_rows_ptr + tile), tl.load(offsets_ptr + expert + 1)
    else:
        expert = tl.load(order_ptr + tile).to(tl.int64)
        first, end = tile, tile + 1
        if expert >= experts:
            return
    n = first + tl.arange(0, ROWS)
    live = n < end
    n = tl.where(live, n, first)  # what is there is read, though nothing is made of it
    pair = n
    if used_ptr is not None:
        pair = tl.load(order_ptr + n)
    row = n
    if GATHER:
        row = pair // k
    col = block * COLUMNS + tl.arange(0, COLUMNS)
    step = tl.arange(0, STEP)
    x_ptrs = x_ptr + row.to(tl.int64)[:, None] * x_stride + step[None, :]
    w_ptrs = w_ptr + expert * w_stride_e + col[:, None] * w_stride_o + step[None, :] * w_stride_i
    up_ptrs = w_ptrs + columns * w_stride_o
    if TURNED:
        y, up = tl.zeros((COLUMNS, ROWS), tl.float32), tl.zeros((COLUMNS, ROWS), tl.float32)
    else:
        y, up = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, width, STEP):
        within = (start + step < width)[None, :]
        mask = (col < columns)[:, None] & within
        x = tl.load(x_ptrs) if EVEN else tl.load(x_ptrs, mask=within, other=0.0)
        w = tl.load(w_ptrs) if EVEN else tl.load(w_ptrs, mask=mask, other=0.0)
        y = _add_product(x, w, y, TURNED)
        if HALVES:
            w = tl.load(up_ptrs) if EVEN else tl.load(up_ptrs, mask=mask, other=0.0)
            up = _add_product(x, w, up, TURNED)
        x_ptrs += STEP
        w_ptrs += STEP * w_stride_i
        up_ptrs += STEP * w_stride_i
    if TURNED:
        y, up = tl.trans(y), tl.trans(up)
    if shares_ptr is not None:
        share = tl.load(shares_ptr + pair).to(tl.float32)[:, None]
        y, up = y * share, up * share
    if bias_ptr is not None:
        bias_ptr += expert * (2 * columns if HALVES else columns)
        y += tl.load(bias_ptr + col, mask=col < columns, other=0.0).to(tl.float32)[None, :]
        if HALVES:
            up += tl.load(bias_ptr + columns + col, mask=col < columns, other=0.0).to(tl.float32)[None, :]
    if ALPHA is not None:
        y, up = tl.minimum(y, LIMIT), tl.minimum(tl.maximum(up, -LIMIT), LIMIT)
        y = (up + 1) * y * sigmoid(ALPHA * y)
    elif NAME is not None:
        y = activated(y, NAME)
        if LIMIT is not None:
            y, up = tl.minimum(y, LIMIT), tl.minimum(tl.maximum(up, -LIMIT), LIMIT)
        if HALVES:
            y = y * up
    to = n if ORDERED else pair
    at = to.to(tl.int64)[:, None] * columns + col[None, :]
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), mask=live[:, None] & (col < columns)[None, :])


@triton.jit
def _add_product(x, w, y, TURNED: tl.constexpr):
    if TURNED:
        y = tl.dot(w, tl.trans(x), y, input_precision="ieee")
    else:
        y = tl.dot(x, tl.trans(w), y, input_precision="ieee")
    return y
