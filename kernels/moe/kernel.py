"""moe on a GPU: pairs of a row and an expert are sorted, then two grouped products, and a sum of each row's in float32.

As in MegaBlocks, Gale et al. 2022, arXiv 2211.15841, no expert has a capacity and nothing is dropped. Each run gives
the same: nothing is added up in an order that the device chooses.
"""
# T rows, K experts of each, N = T K pairs, D width, H width inside an expert, F = 2H or H, E experts

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.gated.activated import NAMES
from triptych.kernels.moe.inner import Clamped, Gated
from triptych.kernels.moe.on_gpu.gradients import dots, outer_products
from triptych.kernels.moe.on_gpu.products import NOTHING, Constants, products, rows_a_tile
from triptych.kernels.moe.on_gpu.sorting import Sorted, sort_pairs
from triptych.kernels.moe.reference import Biases

UNSORTED = 32  # pairs: up to so many are a tile each
Inner = Callable[[Tensor], Tensor]


def refuses(x_TD: Tensor, gate_up_EFD: Tensor, down_EDH: Tensor, *, inner: Inner, biases: Biases | None) -> str | None:
    """Why a call cannot run here."""
    if _constants(inner) is None:
        return f"what is between the matrices, {inner}, has no kernel"
    if any(each.dtype != x_TD.dtype for each in (gate_up_EFD, down_EDH, *(biases or ()))):
        return f"rows are {x_TD.dtype}, and not all of the rest is"
    return None


def moe(
    x_TD: Tensor,
    gate_up_EFD: Tensor,
    down_EDH: Tensor,
    *,
    chosen_TK: Tensor,
    shares_TK: Tensor,
    inner: Inner,
    biases: Biases | None,
    shares_of_inputs: bool,
) -> Tensor:
    up_bias, down_bias = biases or (None, None)
    y_TD: Tensor = _Moe.apply(
        x_TD, gate_up_EFD, down_EDH, shares_TK, up_bias, down_bias, chosen_TK, inner, shares_of_inputs
    )
    return y_TD


class _Moe(torch.autograd.Function):
    """What comes out of the first matrices is not kept: the way back computes it again."""

    @staticmethod
    def forward(
        ctx: Any,
        x_TD: Tensor,
        gate_up_EFD: Tensor,
        down_EDH: Tensor,
        shares_TK: Tensor,
        up_bias: Tensor | None,
        down_bias: Tensor | None,
        chosen_TK: Tensor,
        inner: Inner,
        of_inputs: bool,
    ) -> Tensor:
        x, chosen, shares = x_TD.contiguous(), chosen_TK.contiguous(), shares_TK.contiguous()
        pairs, k = chosen.numel(), chosen.shape[1]
        constants = _constants(inner)
        assert constants is not None
        plan = _plan(x, chosen, len(down_EDH), sort=pairs > UNSORTED)
        given = x.new_empty(pairs, x.shape[1])
        if pairs:
            inside = products(
                x, gate_up_EFD, plan, pairs=pairs, k=k, bias=up_bias, shares=shares if of_inputs else None,
                ordered=True, inner=constants,
            )  # fmt: skip
            given = products(inside, down_EDH, plan, pairs=pairs, bias=down_bias)
        ctx.save_for_backward(x, gate_up_EFD, down_EDH, shares, up_bias, down_bias, chosen, given)
        ctx.inner, ctx.of_inputs = inner, of_inputs
        return _summed(given, x, chosen, shares, len(down_EDH), weigh=not of_inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return (
            *_gradients(grads[0].contiguous(), *ctx.saved_tensors, inner=ctx.inner, of_inputs=ctx.of_inputs),
            None,
            None,
            None,
        )


def _gradients(
    grad: Tensor,
    x: Tensor,
    gate_up: Tensor,
    down: Tensor,
    shares: Tensor,
    up_bias: Tensor | None,
    down_bias: Tensor | None,
    chosen: Tensor,
    given: Tensor,
    *,
    inner: Inner,
    of_inputs: bool,
) -> tuple[Tensor | None, ...]:
    pairs, k = chosen.numel(), chosen.shape[1]
    if not pairs:
        given_ones = (x, gate_up, down, shares, up_bias, down_bias)
        return tuple(None if each is None else torch.zeros_like(each) for each in given_ones)
    plan = _plan(x, chosen, len(down), sort=True)
    assert isinstance(plan, Sorted)
    inputs, outputs = (shares, None) if of_inputs else (None, shares)
    with torch.enable_grad():
        before = products(x, gate_up, plan, pairs=pairs, k=k, bias=up_bias, shares=inputs, ordered=True)
        inside = inner(before.requires_grad_())
    grad_inside = products(grad, down.transpose(1, 2), plan, pairs=pairs, k=k, shares=outputs, ordered=True)
    (grad_before,) = torch.autograd.grad(inside, before, grad_inside)
    grad_rows = products(grad_before, gate_up.transpose(1, 2), plan, pairs=pairs)
    grad_down, grad_down_bias = outer_products(
        grad, inside.detach(), plan, like=down, left_k=k, left_shares=outputs, bias=down_bias
    )
    grad_gate_up, grad_up_bias = outer_products(
        grad_before, x, plan, like=gate_up, right_k=k, right_shares=inputs, bias=up_bias
    )
    grad_x = _summed(grad_rows, grad, chosen, shares, len(down), weigh=of_inputs)
    beside = (x, grad_rows) if of_inputs else (grad, given)
    grad_shares = dots(*beside, idle=(x, grad), chosen=chosen, experts=len(down), like=shares)
    return grad_x, grad_gate_up, grad_down, grad_shares, grad_up_bias, grad_down_bias


def _constants(inner: Inner) -> Constants | None:
    """What a kernel is to do between the two matrices, if it can."""
    if isinstance(inner, Clamped):
        return {**NOTHING, "HALVES": True, "LIMIT": inner.limit, "ALPHA": inner.alpha}
    is_gated = isinstance(inner, Gated)
    name = NAMES.get(inner.activation if isinstance(inner, Gated) else inner)
    limit = inner.limit if isinstance(inner, Gated) else None
    return None if name is None else {**NOTHING, "NAME": name, "HALVES": is_gated, "LIMIT": limit}


def _plan(x: Tensor, chosen: Tensor, experts: int, *, sort: bool) -> Sorted | Tensor:
    pairs = chosen.numel()
    return sort_pairs(chosen, experts, rows_a_tile(x, pairs, experts)) if sort and pairs else chosen


def _summed(given: Tensor, x: Tensor, chosen: Tensor, shares: Tensor, experts: int, *, weigh: bool) -> Tensor:
    """Of each row what its pairs are given, by their shares or as it is; of idle ones the row itself by its share."""
    rows, width = x.shape
    y = torch.empty(rows, width, dtype=x.dtype, device=x.device)
    if y.numel():
        block = min(1024, triton.next_power_of_2(width))
        grid = (rows, triton.cdiv(width, block))
        _sum_pairs[grid](
            given, x, chosen, shares, y, width, experts, K=chosen.shape[1], WEIGH=weigh, BLOCK=block, num_warps=4
        )
    return y


@triton.jit
def _sum_pairs(
    given_ptr, x_ptr, chosen_ptr, shares_ptr, y_ptr, width, experts,
    K: tl.constexpr, WEIGH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = col < width
    y = tl.zeros((BLOCK,), tl.float32)
    for i in tl.static_range(K):
        pair = row * K + i
        idle = tl.load(chosen_ptr + pair) >= experts
        share = tl.load(shares_ptr + pair).to(tl.float32)
        if not WEIGH:
            share = tl.where(idle, share, 1.0)
        at = tl.where(idle, x_ptr + row * width, given_ptr + pair * width)
        y += share * tl.load(at + col, mask=mask, other=0.0).to(tl.float32)
    tl.store(y_ptr + row * width + col, y.to(y_ptr.dtype.element_ty), mask=mask)
