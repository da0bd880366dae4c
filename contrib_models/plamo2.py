"""Mamba-2's heads on what Mamba reads, as PLaMo 2 has them (Preferred Networks' release of pfnet/plamo-2-1b)."""

# T rows, D width, H heads, P head width, C channels (H P), N state, R rank of steps, B sequences

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from triptych.contrib_models.plamo2_spec import MambaByHeadSpec
from triptych.parts.activations import get_activation
from triptych.parts.cache_layout import sum_dtype
from triptych.parts.cache_needs import State
from triptych.parts.conv import Conv
from triptych.parts.mamba2 import scan
from triptych.parts.parameters import Linear, Part, parameter
from triptych.parts.step import Step

NORMS = ("B_norm", "C_norm", "dt_norm")


class MambaByHead(Part):
    """out((scan(x) + D x) silu(z)) of x = act(conv(rows)); a gate z and rows come from one matrix, in that order."""

    Spec = MambaByHeadSpec

    def __init__(self, spec: MambaByHeadSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.spec, self.key, self.activation = spec, key, get_activation(spec.activation)
        inner, self.widths = spec.heads * spec.head_dim, (spec.state, spec.state, spec.dt_rank)
        self.cache_need = State(((inner, spec.conv - 1), (spec.heads, spec.head_dim, spec.state)), sums=1)
        self.in_proj = Linear(width, 2 * inner, bias=False)
        self.conv1d = Conv(inner, spec.conv, bias=False)
        self.bcdt_proj = Linear(inner, sum(self.widths), bias=False)
        self.dt_proj = Linear(spec.dt_rank, spec.heads, bias=False)
        self.A_log, self.D, self.dt_bias = (parameter(spec.heads) for _ in range(3))
        for name, size in zip(NORMS, self.widths, strict=True):
            self.add_module(name, spec.norm.build(width=size))
        self.out_proj = Linear(inner, width, bias=False)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        own, spec = self._modules, self.spec
        past, state = step.state(self.key, self.cache_need, dtype=x_TD.dtype)
        gate_TC, x_TC = own["in_proj"](x_TD).chunk(2, -1)
        x_TC, past = own["conv1d"](x_TC, past, step.spans)
        x_TC = self.activation(x_TC)
        B_TGN, C_TGN, dt_TH = self._reads(x_TC)
        x_THP = x_TC.reshape(-1, spec.heads, spec.head_dim)
        y_THP, state = scan(self._parameters, x_THP, B_TGN, C_TGN, dt_TH, state=state, spans=step.spans)
        step.keep(self.key, past, state)
        y_TD: Tensor = own["out_proj"](y_THP.flatten(1) * F.silu(gate_TC))
        return y_TD

    def _reads(self, x_TC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each row, what all heads write and read [T, 1, N] and the steps of each [T, H]; steps in float32."""
        own, dtype = self._modules, sum_dtype(x_TC.dtype)
        found = own["bcdt_proj"](x_TC).split_with_sizes(self.widths, -1)
        B_TN, C_TN, dt_TR = (own[name](each) for name, each in zip(NORMS, found, strict=True))
        dt_TH = F.softplus(own["dt_proj"](dt_TR).to(dtype) + self._parameters["dt_bias"].to(dtype))
        return B_TN[:, None], C_TN[:, None], dt_TH
