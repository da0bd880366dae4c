"""rms_norm and add_rms_norm on a GPU: a tile of whole rows a program, read once, sums in float32."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.rows import rows_of
from triptych.kernels.tuned import multiprocessors, registers, tuned

PART = 2**12  # so much of a row at a time, where gradients are taken
WIDEST = 2**14  # a row stands in the registers of one block of threads


def refuses(x: Tensor, weight: Tensor | None, residual: Tensor | None = None) -> str | None:
    """Why a call cannot run here."""
    if x.shape[-1] > WIDEST:
        return f"rows are {x.shape[-1]} wide, more than {WIDEST}"
    if weight is not None and weight.dtype != x.dtype:
        return f"rows are {x.dtype}, and their weight is {weight.dtype}"
    if residual is not None and torch.promote_types(x.dtype, residual.dtype) != x.dtype:
        return f"rows are {x.dtype}, and what is added to them is {residual.dtype}"
    return None


def rms_norm(x: Tensor, weight: Tensor | None, *, eps: float, offset: float, cast_first: bool) -> Tensor:
    y: Tensor = _RmsNorm.apply(x, None, weight, eps, offset, cast_first)[0]
    return y


def add_rms_norm(
    x: Tensor, residual: Tensor, weight: Tensor | None, *, eps: float, offset: float, cast_first: bool
) -> tuple[Tensor, Tensor]:
    y, total = _RmsNorm.apply(x, residual, weight, eps, offset, cast_first)
    return y, total


class _RmsNorm(torch.autograd.Function):
    """Normed rows and the rows that were normed: x, or x + residual."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        weight: Tensor | None,
        eps: float,
        offset: float,
        cast_first: bool,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        x, rows = rows_of(x)
        y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        total, beside = x, rows
        if residual is not None:
            residual, beside = rows_of(residual)
            total = torch.empty_like(y)
        tile = _tile(x, rows.width)
        if y.numel():
            _forward[(triton.cdiv(rows.rows, tile["ROWS"]),)](
                x, residual, weight, y, total,
                rows.rows, *rows[2:], *beside[2:], rows.width, eps,
                OFFSET=offset, CAST_FIRST=cast_first, **tile,
            )  # fmt: skip
        ctx.save_for_backward(total, weight)
        ctx.eps, ctx.offset, ctx.added = eps, offset, residual is not None
        if residual is None:
            ctx.mark_non_differentiable(total)
        return y, total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        total, weight = ctx.saved_tensors
        grad_y, grad_total = grads
        if grad_y is None:
            return grad_total, grad_total, *[None] * 4
        grad_x, grad_weight = _gradients(grad_y, grad_total, total, weight, eps=ctx.eps, offset=ctx.offset)
        return grad_x, grad_x if ctx.added else None, grad_weight, None, None, None


def _gradients(
    grad_y: Tensor, grad_total: Tensor | None, total: Tensor, weight: Tensor | None, *, eps: float, offset: float
) -> tuple[Tensor, Tensor | None]:
    """Each program goes over every so many tiles, and sums up the weight's gradient in its own row of a buffer."""
    total, rows = rows_of(total)
    grad_y, grad_total = grad_y.contiguous(), None if grad_total is None else grad_total.contiguous()
    tile = _tile(total, min(rows.width, PART))
    programs = max(1, min(2 * multiprocessors(total.device), triton.cdiv(rows.rows, tile["ROWS"])))
    grad_x = torch.empty(total.shape, dtype=total.dtype, device=total.device)
    parts = None if weight is None else torch.zeros(programs, rows.width, device=total.device)
    if grad_x.numel():
        _backward[(programs,)](
            grad_y, grad_total, total, weight, grad_x, parts,
            rows.rows, *rows[2:], rows.width, eps, OFFSET=offset, maxnreg=registers(tile["num_warps"]), **tile,
        )  # fmt: skip
    return grad_x, None if parts is None or weight is None else parts.sum(0).to(weight.dtype)


def _tile(x: Tensor, width: int) -> dict[str, int]:
    block = triton.next_power_of_2(max(1, width))
    rule = {"ROWS": max(1, 1024 // block), "num_warps": min(16, max(4, block // 256))}
    return {**rule, **(tuned("rms_norm", x.device, str(block)) or {}), "BLOCK": block}


@triton.jit(do_not_specialize=["count"])
def _forward(
    x_ptr, residual_ptr, weight_ptr, y_ptr, total_ptr,
    count, inner, outer_stride, inner_stride, inner2, outer_stride2, inner_stride2, width, eps,
    OFFSET: tl.constexpr, CAST_FIRST: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]).to(tl.int64)  # row * width can pass 2**31
    col = tl.arange(0, BLOCK)[None, :]
    mask = (row < count) & (col < width)
    at = row // inner * outer_stride + row % inner * inner_stride + col
    x = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
    if residual_ptr is not None:
        at = row // inner2 * outer_stride2 + row % inner2 * inner_stride2 + col
        x += tl.load(residual_ptr + at, mask=mask, other=0.0).to(tl.float32)
        x = x.to(y_ptr.dtype.element_ty)
        tl.store(total_ptr + row * width + col, x, mask=mask)
        x = x.to(tl.float32)  # what is normed is what is kept
    y = x * tl.rsqrt(tl.sum(x * x, 1)[:, None] / width + eps)
    if CAST_FIRST:
        y = y.to(y_ptr.dtype.element_ty).to(tl.float32)
    if weight_ptr is not None:
        weight = tl.load(weight_ptr + col, mask=col < width, other=0.0).to(tl.float32) + OFFSET
        if CAST_FIRST:
            weight = weight.to(y_ptr.dtype.element_ty).to(tl.float32)
        y = y * weight
    tl.store(y_ptr + row * width + col, y.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["count"])
def _backward(
    grad_y_ptr, grad_total_ptr, total_ptr, weight_ptr, grad_x_ptr, parts_ptr,
    count, inner, outer_stride, inner_stride, width, eps,
    OFFSET: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    part_ptr = parts_ptr if parts_ptr is None else parts_ptr + tl.program_id(0).to(tl.int64) * width
    for tile in range(tl.program_id(0), tl.cdiv(count, ROWS), tl.num_programs(0)):
        row = (tile * ROWS + tl.arange(0, ROWS)[:, None]).to(tl.int64)
        x_row, y_row = row // inner * outer_stride + row % inner * inner_stride, row * width
        squares, dots = tl.zeros((ROWS, 1), tl.float32), tl.zeros((ROWS, 1), tl.float32)
        for start in range(0, width, BLOCK):
            col = start + tl.arange(0, BLOCK)[None, :]
            mask = (row < count) & (col < width)
            x = tl.load(total_ptr + x_row + col, mask=mask, other=0.0).to(tl.float32)
            grad = tl.load(grad_y_ptr + y_row + col, mask=mask, other=0.0).to(tl.float32)
            if weight_ptr is not None:
                grad *= tl.load(weight_ptr + col, mask=col < width, other=0.0).to(tl.float32) + OFFSET
            squares += tl.sum(x * x, 1)[:, None]
            dots += tl.sum(x * grad, 1)[:, None]
        scale = tl.rsqrt(squares / width + eps)
        along = dots * scale * scale / width
        for start in range(0, width, BLOCK):  # the second look at the same numbers finds them in a cache
            col = start + tl.arange(0, BLOCK)[None, :]
            mask = (row < count) & (col < width)
            x = tl.load(total_ptr + x_row + col, mask=mask, other=0.0).to(tl.float32)
            grad = tl.load(grad_y_ptr + y_row + col, mask=mask, other=0.0).to(tl.float32)
            if weight_ptr is not None:
                part = tl.load(part_ptr + col, mask=col < width, other=0.0)
                part += tl.sum(grad * x * scale, 0)[None, :]
                tl.store(part_ptr + col, part, mask=col < width)
                grad *= tl.load(weight_ptr + col, mask=col < width, other=0.0).to(tl.float32) + OFFSET
            grad_x = scale * (grad - x * along)
            if grad_total_ptr is not None:
                grad_x += tl.load(grad_total_ptr + y_row + col, mask=mask, other=0.0).to(tl.float32)
            tl.store(grad_x_ptr + y_row + col, grad_x.to(grad_x_ptr.dtype.element_ty), mask=mask)
        tl.debug_barrier()  # what one thread added to a part, another may add to next
