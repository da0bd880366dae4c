"""The norm `mean_abs`: rows [..., D] -> rows of the same shape and dtype."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from triptych.parts.parameters import parameter
from triptych_example_model.norms_spec import MeanAbsSpec


class MeanAbs(nn.Module):
    """Rows over the mean of their absolute values, times a weight."""

    Spec = MeanAbsSpec

    def __init__(self, spec: MeanAbsSpec, *, width: int) -> None:
        super().__init__()
        self.eps = spec.eps
        self.weight = parameter(width)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.float32)
        scaled = wide / (wide.abs().mean(-1, keepdim=True) + self.eps)
        return scaled.to(x.dtype) * self.weight
