"""rotary on a GPU: a tile of heads a program, each pair of channels read once; its gradient is the turn back."""

# T rows, H heads, K head width, R turned channels

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.tuned import tuned

PAIRS = 512  # of channels, that a program turns at least, where there are so many


def refuses(x_THK: Tensor, cos_T1R: Tensor, sin_T1R: Tensor) -> str | None:
    """Why a call cannot run here."""
    if any(each.dtype != x_THK.dtype for each in (cos_T1R, sin_T1R)):
        return f"heads are {x_THK.dtype}, and not both of the tables are"
    if any(each.requires_grad for each in (cos_T1R, sin_T1R)):
        return "gradients are asked of its tables"
    if cos_T1R.shape[-1] % 2:
        return f"{cos_T1R.shape[-1]} channels are no pairs"
    return None


def rotary(x_THK: Tensor, cos_T1R: Tensor, sin_T1R: Tensor, *, interleaved: bool) -> Tensor:
    y: Tensor = _Rotary.apply(x_THK, cos_T1R.contiguous(), sin_T1R.contiguous(), interleaved)
    return y


class _Rotary(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_THK: Tensor, cos_T1R: Tensor, sin_T1R: Tensor, interleaved: bool) -> Tensor:
        ctx.save_for_backward(cos_T1R, sin_T1R)
        ctx.interleaved = interleaved
        return _turned(x_THK, cos_T1R, sin_T1R, interleaved=interleaved, back=False)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _turned(grads[0], *ctx.saved_tensors, interleaved=ctx.interleaved, back=True), None, None, None


def _turned(x_THK: Tensor, cos_T1R: Tensor, sin_T1R: Tensor, *, interleaved: bool, back: bool) -> Tensor:
    (T, H, K), R = x_THK.shape, cos_T1R.shape[-1]
    x_THK = x_THK if x_THK.stride(-1) == 1 else x_THK.contiguous()
    y_THK = torch.empty(x_THK.shape, dtype=x_THK.dtype, device=x_THK.device)
    if not y_THK.numel():
        return y_THK
    block = triton.next_power_of_2(max(1, R // 2))
    rule = {"ROWS": max(1, PAIRS // block), "num_warps": 4}
    tile = {**rule, **(tuned("rotary", x_THK.device, f"{H}x{K}") or {})}
    _rotary[(triton.cdiv(T * H, tile["ROWS"]),)](
        x_THK, cos_T1R, sin_T1R, y_THK, T * H, x_THK.stride(0), x_THK.stride(1),
        H=H, K=K, R=R, INTERLEAVED=interleaved, BACK=back,
        BLOCK=block, REST=triton.next_power_of_2(K - R) if K > R else 0, **tile,
    )  # fmt: skip
    return y_THK


@triton.jit(do_not_specialize=["count"])
def _rotary(
    x_ptr, cos_ptr, sin_ptr, y_ptr, count, stride_t, stride_h,
    H: tl.constexpr, K: tl.constexpr, R: tl.constexpr, INTERLEAVED: tl.constexpr, BACK: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, REST: tl.constexpr,
):  # fmt: skip
    number = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    there = number < count
    row = (number // H).to(tl.int64)  # row * stride can pass 2**31
    x_ptr += row * stride_t + number % H * stride_h
    y_ptr += number.to(tl.int64) * K
    if R > 0:
        first, second = load_pairs(x_ptr, there, R, INTERLEAVED, BLOCK)
        cos1, cos2 = load_pairs(cos_ptr + row * R, there, R, INTERLEAVED, BLOCK)
        sin1, sin2 = load_pairs(sin_ptr + row * R, there, R, INTERLEAVED, BLOCK)
        if BACK:
            sin1, sin2 = sin2, sin1
        turned1, turned2 = first * cos1 + second * sin1, second * cos2 + first * sin2
        store_pairs(y_ptr, turned1, turned2, there, R, INTERLEAVED, BLOCK)
    if REST > 0:
        col = R + tl.arange(0, REST)[None, :]
        mask = there & (col < K)
        tl.store(y_ptr + col, tl.load(x_ptr + col, mask=mask), mask=mask)


@triton.jit
def load_pairs(ptr, there, R: tl.constexpr, INTERLEAVED: tl.constexpr, BLOCK: tl.constexpr):
    """The first and the second of each pair of channels, [ROWS, BLOCK] each, of rows that begin at `ptr` [ROWS, 1]."""
    if INTERLEAVED:
        col = tl.arange(0, 2 * BLOCK)[None, :]
        both = tl.load(ptr + col, mask=there & (col < R), other=0.0).to(tl.float32)
        first, second = tl.split(tl.reshape(both, (both.shape[0], BLOCK, 2)))
    else:
        col = tl.arange(0, BLOCK)[None, :]
        mask = there & (col < R // 2)
        first = tl.load(ptr + col, mask=mask, other=0.0).to(tl.float32)
        second = tl.load(ptr + R // 2 + col, mask=mask, other=0.0).to(tl.float32)
    return first, second


@triton.jit
def store_pairs(ptr, first, second, there, R: tl.constexpr, INTERLEAVED: tl.constexpr, BLOCK: tl.constexpr):
    """What `load_pairs` loads, back."""
    if INTERLEAVED:
        col = tl.arange(0, 2 * BLOCK)[None, :]
        both = tl.reshape(tl.join(first, second), (first.shape[0], 2 * BLOCK))
        tl.store(ptr + col, both.to(ptr.dtype.element_ty), mask=there & (col < R))
    else:
        col = tl.arange(0, BLOCK)[None, :]
        mask = there & (col < R // 2)
        tl.store(ptr + col, first.to(ptr.dtype.element_ty), mask=mask)
        tl.store(ptr + R // 2 + col, second.to(ptr.dtype.element_ty), mask=mask)
