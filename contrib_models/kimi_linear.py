"""Kimi delta attention: a gated delta net of which each number of a key fades by itself. arXiv 2510.26692.

It stands in three layers of four of Kimi Linear, beside latent attention that is told no positions, and in Ling 3.
"""

# T rows, D width, H heads, K width of a key and of a value, B sequences

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.contrib_models.kimi_linear_spec import KdaSpec
from triptych.kernels.delta_rule import delta_rule
from triptych.parts.activations import get_activation
from triptych.parts.cache_needs import State
from triptych.parts.conv import Conv, GatedNorm
from triptych.parts.gated_delta import unit
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
        for name in "fg":
            if spec.rank is None:
                self.add_module(f"{name}_proj", Linear(width, inner, bias=False))
            else:
                self.add_module(f"{name}_a_proj", Linear(width, spec.rank, bias=False))
                self.add_module(f"{name}_b_proj", Linear(spec.rank, inner, bias=False))
        self.b_proj = Linear(width, spec.heads, bias=False)
        # of the two kinds of checkpoints, those of a rank keep it ready for a batch
        self.A_log = parameter(spec.heads) if spec.rank is None else parameter(1, 1, spec.heads, 1)
        self.dt_bias = parameter(inner)
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
        gate_THK = self._through("g", x_TD).view(heads)
        y_TD: Tensor = own["o_proj"](own["o_norm"](y_THK, gate_THK).flatten(1))
        return y_TD

    def _fading(self, x_TD: Tensor, dtype: torch.dtype) -> Tensor:
        """Logs of how much stays [T, H, K], none above nought."""
        own, floor = self._parameters, self.spec.floor
        found = self._through("f", x_TD).to(dtype) + own["dt_bias"].to(dtype)
        found_THK = found.view(-1, self.spec.heads, self.spec.head_dim)
        rate_H1 = own["A_log"].to(dtype).exp().view(-1, 1)
        return -rate_H1 * F.softplus(found_THK) if floor is None else floor * (rate_H1 * found_THK).sigmoid()

    def _through(self, name: str, x_TD: Tensor) -> Tensor:
        """Rows [T, H * K] of what fades (f), or of the gate (g)."""
        own = self._modules
        last = f"{name}_proj" if self.spec.rank is None else f"{name}_b_proj"
        found: Tensor = own[last](x_TD if self.spec.rank is None else own[f"{name}_a_proj"](x_TD))
        return found
