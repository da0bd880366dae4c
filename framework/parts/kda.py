"""Kimi delta attention: a gated delta net of which each number of a key fades by itself. arXiv 2510.26692."""

# T rows, D width, H heads, K width of a key and of a value, B sequences

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.kernels.delta_rule import delta_rule
from triptych.parts.activations import get_activation
from triptych.parts.cache_needs import State
from triptych.parts.conv import Conv, GatedNorm
from triptych.parts.gated_delta import unit
from triptych.parts.gated_delta_spec import KdaSpec
from triptych.parts.parameters import Linear, Part, parameter
from triptych.parts.step import Step


class Kda(Part):
    """out(norm(delta(q, k, v)) sigmoid(gate)) of (q, k, v) = act(conv(qkv(x))); names are those of checkpoints."""

    Spec = KdaSpec

    def __init__(self, spec: KdaSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.spec, self.key, self.activation = spec, key, get_activation(spec.activation)
        inner = spec.heads * spec.head_dim
        self.cache_need = State(((3 * inner, spec.conv - 1), (spec.heads, spec.head_dim, spec.head_dim)), sums=1)
        self.qkv = Linear(width, 3 * inner, bias=False, pieces=(inner,) * 3)
        self.conv1d = Conv(3 * inner, spec.conv, bias=False, pieces=(inner,) * 3)
        self.f_a_proj, self.f_b_proj = (
            Linear(width, spec.head_dim, bias=False),
            Linear(spec.head_dim, inner, bias=False),
        )
        self.g_a_proj, self.g_b_proj = (
            Linear(width, spec.head_dim, bias=False),
            Linear(spec.head_dim, inner, bias=False),
        )
        self.b_proj = Linear(width, spec.heads, bias=False)
        self.A_log, self.dt_bias = parameter(1, 1, spec.heads, 1), parameter(inner)
        sizes = (spec.heads, spec.head_dim)
        self.o_norm = GatedNorm(*sizes, eps=spec.eps, activation=torch.sigmoid, norm_first=True, shared=True)
        self.o_proj = Linear(inner, width, bias=False)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        own, heads = self._modules, (-1, self.spec.heads, self.spec.head_dim)
        past, state = step.state(self.key, self.cache_need, dtype=x_TD.dtype)
        mixed, past = own["conv1d"](own["qkv"](x_TD), past, step.spans)
        q_THK, k_THK, v_THK = (each.reshape(heads) for each in self.activation(mixed).chunk(3, -1))
        q_THK, k_THK = unit(q_THK, state.dtype) * self.spec.head_dim**-0.5, unit(k_THK, state.dtype)
        beta_TH, fading_THK = own["b_proj"](x_TD).sigmoid(), self._fading(x_TD, state.dtype)
        y_THK, state = delta_rule(q_THK, k_THK, v_THK, fading_THK, beta_TH, state_BHKV=state, spans=step.spans)
        step.keep(self.key, past, state)
        gate_THK = own["g_b_proj"](own["g_a_proj"](x_TD)).view(heads)
        y_TD: Tensor = own["o_proj"](own["o_norm"](y_THK, gate_THK).flatten(1))
        return y_TD

    def _fading(self, x_TD: Tensor, dtype: torch.dtype) -> Tensor:
        """Logs of how much stays [T, H, K], none above nought."""
        own, modules = self._parameters, self._modules
        found = modules["f_b_proj"](modules["f_a_proj"](x_TD)).to(dtype) + own["dt_bias"].to(dtype)
        rate_H1 = own["A_log"].to(dtype).exp().view(-1, 1)
        return -rate_H1 * F.softplus(found.view(-1, self.spec.heads, self.spec.head_dim))
