"""Mamba: a state for each channel that what it reads tells to keep or to change. Gu and Dao 2023, arXiv 2312.00752."""

# T rows, D width, C channels, N state, R rank of steps, B sequences

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from triptych.kernels.linear import linear
from triptych.kernels.selective_scan import selective_scan
from triptych.parts.activations import get_activation
from triptych.parts.cache_layout import sum_dtype
from triptych.parts.cache_needs import State
from triptych.parts.conv import Conv
from triptych.parts.mamba_spec import MambaSpec
from triptych.parts.parameters import Linear, Part, parameter
from triptych.parts.step import Step

NORMS = ("dt_layernorm", "b_layernorm", "c_layernorm")


class Mamba(Part):
    """out((scan(act(conv(x))) + D x) silu(z)); parameters have the names of released checkpoints."""

    Spec = MambaSpec

    def __init__(self, spec: MambaSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.spec, self.key, self.activation = spec, key, get_activation(spec.activation)
        self.widths = (spec.dt_rank, spec.state, spec.state)
        self.cache_need = State(((spec.inner, spec.conv - 1), (spec.inner, spec.state)), sums=1)
        self.in_proj = Linear(width, 2 * spec.inner, bias=spec.bias)
        self.conv1d = Conv(spec.inner, spec.conv, bias=spec.conv_bias)
        self.x_proj = Linear(spec.inner, sum(self.widths), bias=False)
        self.dt_proj = Linear(spec.dt_rank, spec.inner, bias=True)
        self.A_log, self.D = parameter(spec.inner, spec.state), parameter(spec.inner)
        self.out_proj = Linear(spec.inner, width, bias=spec.bias)
        if spec.norm:
            for name, size in zip(NORMS, self.widths, strict=True):
                self.add_module(name, spec.norm.build(width=size))

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        own, parameters = self._modules, self._parameters
        past_BCN, state_BCN = step.state(self.key, self.cache_need, dtype=x_TD.dtype)
        x_TC, gate_TC = own["in_proj"](x_TD).chunk(2, -1)
        x_TC, past_BCN = own["conv1d"](x_TC, past_BCN, step.spans)
        x_TC = self.activation(x_TC)
        dt_TC, B_TN, C_TN = self._reads(x_TC)
        x_TC, D_C, A_log_CN = (x.to(state_BCN.dtype) for x in (x_TC, parameters["D"], parameters["A_log"]))
        A_CN = -A_log_CN.exp()
        y_TC, state_BCN = selective_scan(x_TC, dt_TC, A_CN, B_TN, C_TN, state_BCN=state_BCN, spans=step.spans)
        step.keep(self.key, past_BCN, state_BCN)
        y_TC = (y_TC + x_TC * D_C) * F.silu(gate_TC.to(state_BCN.dtype))  # rounded once
        y_TD: Tensor = own["out_proj"](y_TC.to(x_TD.dtype))
        return y_TD

    def _reads(self, x_TC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each row, its steps [T, C], and what it writes and what it reads [T, N]; steps in float32."""
        own = self._modules
        found: list[Tensor] = [*own["x_proj"](x_TC).split_with_sizes(self.widths, -1)]
        if self.spec.norm:
            found = [own[name](each) for name, each in zip(NORMS, found, strict=True)]
        dt_TR, B_TN, C_TN = found
        matrix, bias = own["dt_proj"]._parameters["weight"], own["dt_proj"]._parameters["bias"]
        dtype = sum_dtype(x_TC.dtype)
        assert matrix is not None
        assert bias is not None
        return F.softplus(linear(dt_TR, matrix).to(dtype) + bias.to(dtype)), B_TN, C_TN
