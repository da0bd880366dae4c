"""Queries that grow with their position, so that attention over a long context stays as sharp as over a short one."""
# T rows, H heads, K head width

from __future__ import annotations

import torch
from torch import Tensor, nn

from triptych.parts.log_scale_spec import LogScaleSpec
from triptych.parts.step import Step


class LogScale(nn.Module):
    """x times 1 + beta log(1 + floor((position + first) / length)).

    The temperature of Llama 4's reference code, after Nakanishi 2025, arXiv 2501.19399.
    """

    Spec = LogScaleSpec

    def __init__(self, spec: LogScaleSpec, *, head_dim: int) -> None:  # noqa: ARG002  (heads of any width)
        super().__init__()
        self.spec = spec

    def forward(self, x_THK: Tensor, step: Step) -> Tensor:
        return x_THK * step.once((self.spec, x_THK.dtype), lambda: self._factors(step).to(x_THK.dtype))

    def _factors(self, step: Step) -> Tensor:
        """A factor [T, 1, 1] for each row, in float32."""
        lengths_T = torch.floor((step.positions.float() + self.spec.first) / self.spec.length)
        return (1 + self.spec.beta * torch.log1p(lengths_T))[:, None, None]
