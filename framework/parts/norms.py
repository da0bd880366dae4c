"""Norms: rows [..., D] -> rows of the same shape and dtype."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from triptych.kernels.layer_norm import layer_norm
from triptych.kernels.rms_norm import rms_norm
from triptych.parts.norms_spec import GainSpec, LayerNormSpec, RmsNormSpec
from triptych.parts.parameters import Part, parameter


class RmsNorm(Part):
    """Rows over their root mean square, times (weight + offset)."""

    Spec = RmsNormSpec

    def __init__(self, spec: RmsNormSpec, *, width: int) -> None:
        super().__init__()
        self.eps, self.offset, self.cast_first = spec.eps, spec.offset, spec.cast == "before"
        self.weight = parameter(width) if spec.weight else None

    def forward(self, x: Tensor) -> Tensor:
        weight = self._parameters.get("weight")
        if weight is None:
            return F.rms_norm(x.float(), x.shape[-1:], eps=self.eps).to(x.dtype)
        return rms_norm(x, weight, eps=self.eps, offset=self.offset, cast_first=self.cast_first)


class LayerNorm(Part):
    """Rows less their mean, over their standard deviation, times a weight, plus a bias."""

    Spec = LayerNormSpec

    def __init__(self, spec: LayerNormSpec, *, width: int) -> None:
        super().__init__()
        self.eps = spec.eps
        self.weight = parameter(width)
        self.bias = parameter(width) if spec.bias else None

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self._parameters["weight"], self._parameters.get("bias"), eps=self.eps)


class Gain(Part):
    """Rows times a weight for each of their numbers, and no norm: what is called layer scale after a branch."""

    Spec = GainSpec

    def __init__(self, spec: GainSpec, *, width: int) -> None:  # noqa: ARG002  (it says nothing)
        super().__init__()
        self.weight = parameter(width)

    def forward(self, x: Tensor) -> Tensor:
        return x * self._parameters["weight"]
