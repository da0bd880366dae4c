"""cross_entropy on a GPU: one look at a row's logits, with the sum of exponents over the largest number so far.

Milakov and Gimelshein 2018, arXiv 1805.02867.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.tuned import tuned

BLOCK = 4096  # logits of a row at a time


def refuses(logits: Tensor) -> str | None:
    """Why a call cannot run here."""
    known = (torch.float32, torch.float16, torch.bfloat16)
    return None if logits.dtype in known else f"logits are {logits.dtype}"


def cross_entropy(logits: Tensor, targets: Tensor, *, ignore: int, scale: float, softcap: float | None) -> Tensor:
    losses: Tensor = _CrossEntropy.apply(logits, targets, {"IGNORE": ignore, "SCALE": scale, "SOFTCAP": softcap})
    return losses


def launch_losses(logits: Tensor, targets: Tensor, losses: Tensor, constants: dict[str, Any], *, learns: bool) -> None:
    """Write losses [T]; and, where something `learns`, over each logit what the loss of its row changes by it."""
    if losses.numel():
        _losses[(len(losses),)](
            logits, targets, losses, None, logits.stride(0), logits.shape[1],
            LEARNS=learns, **constants, **_tile(logits),
        )  # fmt: skip


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, constants: dict[str, Any]) -> Tensor:
        logits, targets = logits if logits.stride(-1) == 1 else logits.contiguous(), targets.contiguous()
        losses = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
        norms = torch.empty_like(losses)
        if len(logits):
            _losses[(len(logits),)](
                logits, targets, losses, norms, logits.stride(0), logits.shape[1],
                LEARNS=False, **constants, **_tile(logits),
            )  # fmt: skip
        ctx.save_for_backward(logits, targets, norms)
        ctx.constants = constants
        return losses

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        logits, targets, norms = ctx.saved_tensors
        found = torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)
        if len(logits):
            _gradients[(len(logits),)](
                logits, targets, norms, grads[0].contiguous(), found, logits.stride(0), logits.shape[1],
                **ctx.constants, **_tile(logits),
            )  # fmt: skip
        return found, None, None


def _tile(logits: Tensor) -> dict[str, int]:
    block = min(BLOCK, triton.next_power_of_2(logits.shape[1]))
    return {"BLOCK": block, "num_warps": 8, **(tuned("cross_entropy", logits.device, str(block)) or {})}


@triton.jit
def _bounded(z, SCALE: tl.constexpr, SOFTCAP: tl.constexpr):
    """A logit as it counts, and how steeply it rises with the one that is given."""
    if SOFTCAP is None:
        y, steep = z * SCALE, SCALE
    else:
        e = tl.exp(-2 * tl.abs(z * SCALE / SOFTCAP))  # tanh through what does not pass what there is
        bound = (1 - e) / (1 + e)
        y = tl.where(z * SCALE < 0, -SOFTCAP, SOFTCAP) * bound
        steep = SCALE * (1 - bound * bound)
    return y, steep


@triton.jit
def _write_gradients(
    row_ptr, found_ptr, target, norm, factor, width,
    SCALE: tl.constexpr, SOFTCAP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Of a logit: its share, less one if it is the target's."""
    for start in range(0, width, BLOCK):
        col = start + tl.arange(0, BLOCK)
        z, steep = _bounded(tl.load(row_ptr + col, mask=col < width, other=0.0).to(tl.float32), SCALE, SOFTCAP)
        grad = (tl.exp(z - norm) - tl.where(col == target, 1.0, 0.0)) * steep * factor
        tl.store(found_ptr + col, grad.to(found_ptr.dtype.element_ty), mask=col < width)


@triton.jit
def _write_noughts(found_ptr, width, BLOCK: tl.constexpr):
    for start in range(0, width, BLOCK):
        col = start + tl.arange(0, BLOCK)
        tl.store(found_ptr + col, tl.zeros((BLOCK,), found_ptr.dtype.element_ty), mask=col < width)


@triton.jit
def _losses(
    logits_ptr, targets_ptr, losses_ptr, norms_ptr, stride, width,
    LEARNS: tl.constexpr, IGNORE: tl.constexpr, SCALE: tl.constexpr, SOFTCAP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    logits_ptr += row.to(tl.int64) * stride  # can pass 2**31
    target = tl.load(targets_ptr + row)
    if target == IGNORE:
        tl.store(losses_ptr + row, 0.0)
        if LEARNS:
            _write_noughts(logits_ptr, width, BLOCK)
        return
    most, total = -float("inf"), 0.0
    for start in range(0, width, BLOCK):
        col = start + tl.arange(0, BLOCK)
        z, _ = _bounded(tl.load(logits_ptr + col, mask=col < width, other=0.0).to(tl.float32), SCALE, SOFTCAP)
        z = tl.where(col < width, z, -float("inf"))
        higher = tl.maximum(most, tl.max(z, 0))
        base = tl.where(higher == -float("inf"), 0.0, higher)  # all of them may be ruled out so far
        total = total * tl.exp(most - base) + tl.sum(tl.exp(z - base), 0)
        most = higher
    norm = most + tl.log(total)
    z, _ = _bounded(tl.load(logits_ptr + target).to(tl.float32), SCALE, SOFTCAP)
    tl.store(losses_ptr + row, norm - z)
    if norms_ptr is not None:
        tl.store(norms_ptr + row, norm)
    if LEARNS:
        tl.debug_barrier()  # the target's logit is read before it is written over
        _write_gradients(logits_ptr, logits_ptr, target, norm, 1.0, width, SCALE, SOFTCAP, BLOCK)


@triton.jit
def _gradients(
    logits_ptr, targets_ptr, norms_ptr, factors_ptr, found_ptr, stride, width,
    IGNORE: tl.constexpr, SCALE: tl.constexpr, SOFTCAP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(targets_ptr + row)
    found_ptr += row * width
    if target == IGNORE:
        _write_noughts(found_ptr, width, BLOCK)
        return
    norm, factor = tl.load(norms_ptr + row), tl.load(factors_ptr + row)
    _write_gradients(logits_ptr + row * stride, found_ptr, target, norm, factor, width, SCALE, SOFTCAP, BLOCK)
