"""layer_norm on a GPU: a tile of whole rows a program, read once; mean and variance in float32, one after the other."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.rows import rows_of
from triptych.kernels.tuned import multiprocessors, tuned

WIDEST, WIDEST_BACK = 2**14, 2**13  # a row stands in the registers of one block of threads; its gradients need more
SUMS = 2**12  # up to so wide, sums over rows do too, else they stay in memory, which is the second level's cache


def refuses(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> str | None:
    """Why a call cannot run here."""
    learns = torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in (x, weight, bias))
    if x.shape[-1] > (widest := WIDEST_BACK if learns else WIDEST):
        return f"rows are {x.shape[-1]} wide, more than {widest}"
    if any(each is not None and each.dtype != x.dtype for each in (weight, bias)):
        return f"rows are {x.dtype}, and not all of the rest is"
    return None


def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, *, eps: float) -> Tensor:
    y: Tensor = _LayerNorm.apply(x, weight, bias, eps)
    return y


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.eps, ctx.biased = eps, bias is not None
        x, rows = rows_of(x)
        y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        tile = _tile(x, rows.width)
        if y.numel():
            _forward[(triton.cdiv(rows.rows, tile["ROWS"]),)](
                x, weight, bias, y, rows.rows, *rows[2:], rows.width, eps, **tile
            )
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        found = _gradients(grads[0].contiguous(), x, weight, eps=ctx.eps, biased=ctx.biased)
        return *found, None


def _gradients(
    grad_y: Tensor, x: Tensor, weight: Tensor | None, *, eps: float, biased: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Each program goes over every so many tiles, two at least, and sums what weight and bias get in its own rows."""
    x, rows = rows_of(x)
    tile = _tile(x, rows.width)
    programs = max(1, min(2 * multiprocessors(x.device), triton.cdiv(rows.rows, 2 * tile["ROWS"])))
    grad_x = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    parts = torch.zeros(2, programs, rows.width, device=x.device) if biased or weight is not None else None
    if grad_x.numel():
        _backward[(programs,)](
            grad_y, x, weight, grad_x, parts, rows.rows, *rows[2:], rows.width, eps,
            HELD=tile["BLOCK"] <= SUMS, **tile | ({} if tile["BLOCK"] <= SUMS else {"num_warps": 32}),
        )  # fmt: skip
    if parts is None:
        return grad_x, None, None
    of_weight, of_bias = parts.sum(1).to(x.dtype)
    return grad_x, None if weight is None else of_weight, of_bias if biased else None


def _tile(x: Tensor, width: int) -> dict[str, int]:
    block = triton.next_power_of_2(max(1, width))
    rule = {"ROWS": max(1, 1024 // block), "num_warps": min(16, max(4, block // 512))}
    return {**rule, **(tuned("layer_norm", x.device, str(block)) or {}), "BLOCK": block}


@triton.jit
def _normed(x, mask, width, eps):
    """Rows less their mean over their standard deviation, and one over the latter."""
    x = tl.where(mask, x - tl.sum(x, 1)[:, None] / width, 0.0)
    scale = tl.rsqrt(tl.sum(x * x, 1)[:, None] / width + eps)
    return x * scale, scale


@triton.jit(do_not_specialize=["count"])
def _forward(
    x_ptr, weight_ptr, bias_ptr, y_ptr, count, inner, outer_stride, inner_stride, width, eps,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]).to(tl.int64)  # row * width can pass 2**31
    col = tl.arange(0, BLOCK)[None, :]
    mask = (row < count) & (col < width)
    at = row // inner * outer_stride + row % inner * inner_stride + col
    x = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
    y, _ = _normed(x, mask, width, eps)
    if weight_ptr is not None:
        y *= tl.load(weight_ptr + col, mask=col < width, other=0.0).to(tl.float32)
    if bias_ptr is not None:
        y += tl.load(bias_ptr + col, mask=col < width, other=0.0).to(tl.float32)
    tl.store(y_ptr + row * width + col, y.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["count"])
def _backward(
    grad_y_ptr, x_ptr, weight_ptr, grad_x_ptr, parts_ptr, count, inner, outer_stride, inner_stride, width, eps,
    HELD: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    col = tl.arange(0, BLOCK)[None, :]
    if parts_ptr is not None:
        of_weight_ptr = parts_ptr + tl.program_id(0).to(tl.int64) * width
        of_bias_ptr = of_weight_ptr + tl.num_programs(0).to(tl.int64) * width
    if HELD:
        of_weight, of_bias = tl.zeros((1, BLOCK), tl.float32), tl.zeros((1, BLOCK), tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(count, ROWS), tl.num_programs(0)):
        row = (tile * ROWS + tl.arange(0, ROWS)[:, None]).to(tl.int64)
        mask = (row < count) & (col < width)
        at = row // inner * outer_stride + row % inner * inner_stride + col
        x = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
        grad = tl.load(grad_y_ptr + row * width + col, mask=mask, other=0.0).to(tl.float32)
        normed, scale = _normed(x, mask, width, eps)
        if HELD:
            of_weight += tl.sum(grad * normed, 0)[None, :]
            of_bias += tl.sum(grad, 0)[None, :]
        elif parts_ptr is not None:
            so_far = tl.load(of_weight_ptr + col, mask=col < width) + tl.sum(grad * normed, 0)[None, :]
            tl.store(of_weight_ptr + col, so_far, mask=col < width)
            so_far = tl.load(of_bias_ptr + col, mask=col < width) + tl.sum(grad, 0)[None, :]
            tl.store(of_bias_ptr + col, so_far, mask=col < width)
            tl.debug_barrier()  # what one thread added, another may add to next
        if weight_ptr is not None:
            grad *= tl.load(weight_ptr + col, mask=col < width, other=0.0).to(tl.float32)
        along = tl.sum(grad * normed, 1)[:, None] / width
        grad_x = scale * (grad - tl.sum(grad, 1)[:, None] / width - normed * along)
        tl.store(grad_x_ptr + row * width + col, grad_x.to(grad_x_ptr.dtype.element_ty), mask=mask)
    if HELD and parts_ptr is not None:
        tl.store(of_weight_ptr + col, of_weight, mask=col < width)
        tl.store(of_bias_ptr + col, of_bias, mask=col < width)
