"""The definition: y = activation(gate) * up. Shazeer 2020, arXiv 2002.05202."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def gated(gate_up: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    gate, up = gate_up.chunk(2, -1)
    return activation(gate) * up
