"""The definition: y = activation(scale * gate) * up. Shazeer 2020, arXiv 2002.05202."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def gated(gate_up: Tensor, activation: Callable[[Tensor], Tensor], limit: float | None, *, scale: float) -> Tensor:
    gate, up = gate_up.chunk(2, -1)
    if scale != 1:
        gate = scale * gate
    if limit is None:
        return activation(gate) * up
    return activation(gate).clamp(max=limit) * up.clamp(-limit, limit)
