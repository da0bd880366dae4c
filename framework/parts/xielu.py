"""An activation with parameters of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.parts.parameters import Part, parameter
from triptych.parts.xielu_spec import XIELUSpec


class XIELU(Part):
    """A parabola above nought and an exponential below it, both as steep there. Huang et al. 2024, arXiv 2411.13010.

    Above: alpha_p x^2 + beta x. Below: alpha_n (exp(min(x, eps)) - 1 - x) + beta x. The alphas are kept before a
    softplus, which the lower one has on top of beta.
    """

    Spec = XIELUSpec

    def __init__(self, spec: XIELUSpec) -> None:  # noqa: ARG002  (it says nothing)
        super().__init__()
        self.alpha_p, self.alpha_n = parameter(1), parameter(1)
        self.beta, self.eps = parameter(), parameter()

    def forward(self, x: Tensor) -> Tensor:
        own = self._parameters
        beta = own["beta"]
        alpha_p, alpha_n = F.softplus(own["alpha_p"]), beta + F.softplus(own["alpha_n"])
        below = torch.expm1(torch.minimum(x, own["eps"])) - x
        return torch.where(x > 0, alpha_p * x * x, alpha_n * below) + beta * x
