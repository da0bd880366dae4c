"""gated on a GPU: each number of the two halves is read once, and what stands between is in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.gated.activated import NAMES, activated, slope
from triptych.kernels.rows import Rows, rows_of
from triptych.kernels.tuned import tuned

NUMBERS = 2048  # of each half that a program takes


def refuses(gate_up: Tensor, activation: Callable[[Tensor], Tensor]) -> str | None:
    """Why a call cannot run here."""
    if activation not in NAMES:
        return f"the activation {getattr(activation, '__name__', activation)} has no kernel"
    if gate_up.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"rows are {gate_up.dtype}"
    return None


def gated(
    gate_up: Tensor, activation: Callable[[Tensor], Tensor], limit: float | None = None, *, scale: float = 1.0
) -> Tensor:
    y: Tensor = _Gated.apply(gate_up, NAMES[activation], limit, scale)
    return y


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor, name: str, limit: float | None, scale: float) -> Tensor:
        ctx.save_for_backward(gate_up)
        ctx.constants = {"NAME": name, "LIMIT": limit, "SCALE": scale}
        gate_up, rows = rows_of(gate_up)
        y = torch.empty(*gate_up.shape[:-1], rows.width // 2, dtype=gate_up.dtype, device=gate_up.device)
        if y.numel():
            _launch(_forward, gate_up, rows, y, **ctx.constants)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gate_up, rows = rows_of(ctx.saved_tensors[0])
        found = torch.empty(gate_up.shape, dtype=gate_up.dtype, device=gate_up.device)
        if found.numel():
            _launch(_backward, gate_up, rows, grads[0].contiguous(), found, **ctx.constants)
        return found, None, None, None


def _launch(kernel: Any, gate_up: Tensor, rows: Rows, *others: Tensor, **constants: Any) -> None:
    half = rows.width // 2
    block = min(NUMBERS, triton.next_power_of_2(half))
    tile = {"ROWS": NUMBERS // block, "BLOCK": block, "num_warps": 8}
    tile |= tuned("gated", gate_up.device, str(block)) or {}
    grid = (triton.cdiv(rows.rows, tile["ROWS"]), triton.cdiv(half, tile["BLOCK"]))
    kernel[grid](gate_up, *others, rows.rows, *rows[2:], half, **constants, **tile)


@triton.jit(do_not_specialize=["count"])
def _forward(
    gate_up_ptr, y_ptr, count, inner, outer_stride, inner_stride, half,
    NAME: tl.constexpr, LIMIT: tl.constexpr, SCALE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]).to(tl.int64)  # row * width can pass 2**31
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    mask = (row < count) & (col < half)
    at = row // inner * outer_stride + row % inner * inner_stride + col
    gate = tl.load(gate_up_ptr + at, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(gate_up_ptr + at + half, mask=mask, other=0.0).to(tl.float32)
    y = activated(gate * SCALE, NAME)
    if LIMIT is not None:
        y, up = tl.minimum(y, LIMIT), tl.minimum(tl.maximum(up, -LIMIT), LIMIT)
    tl.store(y_ptr + row * half + col, (y * up).to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["count"])
def _backward(
    gate_up_ptr, grad_ptr, found_ptr, count, inner, outer_stride, inner_stride, half,
    NAME: tl.constexpr, LIMIT: tl.constexpr, SCALE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]).to(tl.int64)
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    mask = (row < count) & (col < half)
    at = row // inner * outer_stride + row % inner * inner_stride + col
    gate = tl.load(gate_up_ptr + at, mask=mask, other=0.0).to(tl.float32) * SCALE
    up = tl.load(gate_up_ptr + at + half, mask=mask, other=0.0).to(tl.float32)
    grad = tl.load(grad_ptr + row * half + col, mask=mask, other=0.0).to(tl.float32)
    y, steep, through = activated(gate, NAME), slope(gate, NAME) * SCALE, grad
    if LIMIT is not None:
        steep = tl.where(y <= LIMIT, steep, 0.0)
        through = tl.where((up >= -LIMIT) & (up <= LIMIT), grad, 0.0)
        y, up = tl.minimum(y, LIMIT), tl.minimum(tl.maximum(up, -LIMIT), LIMIT)
    at = row * (2 * half) + col
    tl.store(found_ptr + at, (grad * up * steep).to(found_ptr.dtype.element_ty), mask=mask)
    tl.store(found_ptr + at + half, (through * y).to(found_ptr.dtype.element_ty), mask=mask)
