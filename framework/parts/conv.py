"""What mixers that keep a state are made of: a short causal convolution, and a norm beside a gate."""

# T rows, B sequences, C channels, N taps, G groups, K width of a group

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from triptych.kernels.attention import Spans
from triptych.kernels.causal_conv import causal_conv
from triptych.parts.cache_layout import sum_dtype
from triptych.parts.parameters import Part, parameter


class Conv(Part):
    """Each channel of a row from `taps` rows up to it; weight [C, 1, N], as torch's convolutions have it."""

    def __init__(self, channels: int, taps: int, *, bias: bool, pieces: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.pieces = pieces or (channels,)
        self.weight = parameter(channels, 1, taps)
        self.bias = parameter(channels) if bias else None

    def forward(self, x_TC: Tensor, past_BCN: Tensor, spans: Spans) -> tuple[Tensor, Tensor]:
        """Rows [T, C] after the N - 1 rows before each sequence -> [T, C], and the rows to go on from."""
        own = self._parameters
        return causal_conv(x_TC, own["weight"][:, 0], own.get("bias"), past_BCN=past_BCN, spans=spans)


class GatedNorm(Part):
    """Groups of a row over their root mean square, times a weight, beside an activation of a gate.

    `norm_first`: the gate comes after it, else before. The weight is of all groups or, as `shared`, the same for each.
    """

    def __init__(
        self,
        groups: int,
        width: int,
        *,
        eps: float,
        activation: Callable[[Tensor], Tensor],
        norm_first: bool,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.eps, self.activation, self.norm_first = eps, activation, norm_first
        self.weight = parameter(width if shared else groups * width)

    def forward(self, x_TGK: Tensor, gate_TGK: Tensor) -> Tensor:
        dtype = sum_dtype(x_TGK.dtype)
        y, gate = x_TGK.to(dtype), self.activation(gate_TGK.to(dtype))
        y = y if self.norm_first else y * gate
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)
        y = y * self._parameters["weight"].view(-1, y.shape[-1])
        return (y * gate if self.norm_first else y).to(x_TGK.dtype)
