"""A gated short convolution, as LFM2 has it. Liquid AI 2025, arXiv 2511.23404."""

# T rows, D width, N taps, B sequences

from __future__ import annotations

from torch import Tensor

from triptych.parts.cache_needs import State
from triptych.parts.conv import Conv
from triptych.parts.parameters import Linear, Part
from triptych.parts.short_conv_spec import ShortConvSpec
from triptych.parts.step import Step


class ShortConv(Part):
    """out(c conv(b x)) where b, c and x are made of the rows, in that order; the last few of b x are kept."""

    Spec = ShortConvSpec

    def __init__(self, spec: ShortConvSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.key, self.cache_need = key, State(((width, spec.conv - 1),))
        self.in_proj = Linear(width, 3 * width, bias=spec.bias)
        self.conv = Conv(width, spec.conv, bias=spec.bias)
        self.out_proj = Linear(width, width, bias=spec.bias)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        own = self._modules
        (past_BDN,) = step.state(self.key, self.cache_need, dtype=x_TD.dtype)
        b_TD, c_TD, x_TD = own["in_proj"](x_TD).chunk(3, -1)
        mixed_TD, past_BDN = own["conv"](b_TD * x_TD, past_BDN, step.spans)
        step.keep(self.key, past_BDN)
        y_TD: Tensor = own["out_proj"](c_TD * mixed_TD)
        return y_TD
