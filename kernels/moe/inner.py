"""What stands between the two matrices of an expert with a gate: [N, 2H] -> [N, H]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.kernels.gated import gated


@dataclass(frozen=True)
class Gated:
    """activation(gate) * up, up to a limit, as the op `gated` says."""

    activation: Callable[[Tensor], Tensor]
    limit: float | None = None

    def __call__(self, gate_up: Tensor) -> Tensor:
        return gated(gate_up, self.activation, self.limit)


@dataclass(frozen=True)
class Clamped:
    """(up + 1) * gate * sigmoid(alpha * gate), no gate above `limit` and each up within it: as gpt-oss has it."""

    limit: float
    alpha: float

    def __call__(self, gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, -1)
        gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
        return (up + 1) * gate * torch.sigmoid(self.alpha * gate)
