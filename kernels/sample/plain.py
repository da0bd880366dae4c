"""What the definition draws, in plain torch, at the cost of a look at each logit: for where no kernel runs."""

# B rows, R of them, V vocabulary, K likeliest

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from triptych.kernels.sample import blocks
from triptych.kernels.sample.limited import kept, weighed
from triptych.kernels.sample.words import exponential

if TYPE_CHECKING:
    from triptych.kernels.sample import Limits


def sample(
    logits_BV: Tensor, state_B: Tensor, temperature_B: Tensor | None, limits: Limits | None
) -> tuple[Tensor, Tensor]:
    """Waits for the device where there are `limits`, and nowhere else."""
    if temperature_B is None:
        return blocks.likeliest(logits_BV)
    is_warm_B = temperature_B > 0
    any_cold = is_warm_B.device.type != "cpu" or not is_warm_B.all()  # on a CPU to ask costs less than to draw
    if any_cold:
        temperature_B = torch.where(is_warm_B, temperature_B, 1.0)
    top_B = logits_BV.amax(-1)
    found_B = _limited(logits_BV, top_B, state_B, temperature_B, limits)
    return torch.where(is_warm_B, found_B, blocks.likeliest(logits_BV)[0]) if any_cold else found_B, top_B


def _limited(logits_BV: Tensor, top_B: Tensor, state_B: Tensor, temperature_B: Tensor, limits: Limits | None) -> Tensor:
    """A token for each row, block by block, or token by token where some are left out."""
    if limits is None or not len(logits_BV):
        return blocks.drawn(weighed(logits_BV, top_B[:, None], temperature_B[:, None]), state_B)
    leave_out = limits.leave_out(logits_BV.shape[1])
    if all(leave_out):
        return _of_some(logits_BV, top_B, state_B, temperature_B, limits)
    found_B = _limited(logits_BV, top_B, state_B, temperature_B, None)
    if any(leave_out):
        rows_R = torch.tensor(leave_out, device=logits_BV.device).nonzero()[:, 0]
        logits_RV, top_R, state_R, temperature_R = (each[rows_R] for each in (logits_BV, top_B, state_B, temperature_B))
        found_B[rows_R] = _of_some(logits_RV, top_R, state_R, temperature_R, limits.of(rows_R))
    return found_B


def _of_some(logits_BV: Tensor, top_B: Tensor, state_B: Tensor, temperature_B: Tensor, limits: Limits) -> Tensor:
    found_B = torch.empty_like(state_B)
    for rows, weights_RK, places_RK in kept(logits_BV, top_B, temperature_B, limits):
        best_R1 = blocks.soonest(weights_RK, exponential(state_B[rows], places_RK))
        found_B[rows] = places_RK.gather(1, best_R1)[:, 0]
    return found_B
