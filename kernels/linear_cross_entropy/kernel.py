"""linear_cross_entropy on a GPU: logits of some rows at a time, on which a kernel writes their gradients.

As Liger has it, Hsu et al. 2024, arXiv 2410.10989, section 3.2: products are torch's own, and gradients of x, weight
and bias are made where the logits are, so that nothing is computed twice and all logits are never there at once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from triptych.kernels.cross_entropy import kernel

PARTS = 8  # of all rows
FEWEST, MOST = 256, 4096  # rows at a time: fewer make products slow, more save nothing


def refuses(x: Tensor, weight: Tensor, bias: Tensor | None) -> str | None:
    """Why a call cannot run here."""
    if any(each is not None and each.dtype != x.dtype for each in (weight, bias)):
        return f"rows are {x.dtype}, and not all of the rest is"
    return kernel.refuses(x)


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None,
    ignore: int,
    scale: float,
    softcap: float | None,
    rows: int | None,
) -> Tensor:
    learns = torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in (x, weight, bias))
    constants = {"IGNORE": ignore, "SCALE": scale, "SOFTCAP": softcap}
    rows = rows or rows_at_a_time(len(x))
    loss: Tensor = _LinearCrossEntropy.apply(x, weight, bias, targets.contiguous(), constants, rows, learns)
    return loss


def rows_at_a_time(count: int) -> int:
    return min(MOST, max(FEWEST, count // PARTS))


class _LinearCrossEntropy(torch.autograd.Function):
    """Gradients are of the sum of losses until the way back, where they cannot be too small for half precision."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        constants: dict[str, Any],
        rows: int,
        learns: bool,
    ) -> Tensor:
        losses = torch.empty(len(x), dtype=torch.float32, device=x.device)
        logits = torch.empty(min(rows, len(x)), len(weight), dtype=x.dtype, device=x.device)
        grad_x, grad_weight = (torch.empty_like(x), torch.zeros_like(weight)) if learns else (None, None)
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if learns and bias is not None else None
        for start in range(0, len(x), rows):
            part = slice(start, start + rows)
            here = logits[: len(x[part])]
            if bias is None:
                torch.mm(x[part], weight.t(), out=here)
            else:
                torch.addmm(bias, x[part], weight.t(), out=here)
            kernel.launch_losses(here, targets[part], losses[part], constants, learns=learns)
            if grad_x is not None and grad_weight is not None:
                torch.mm(here, weight, out=grad_x[part])
                grad_weight.addmm_(here.t(), x[part])
            if grad_bias is not None:
                grad_bias += here.sum(0, dtype=torch.float32)
        factor = 1 / (targets != constants["IGNORE"]).sum()
        ctx.save_for_backward(grad_x, grad_weight, grad_bias, factor)
        ctx.dtype = x.dtype
        loss: Tensor = losses.sum() * factor
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *of_sum, factor = ctx.saved_tensors
        by = grads[0] * factor
        return *[None if each is None else (each * by).to(ctx.dtype) for each in of_sum], None, None, None, None
