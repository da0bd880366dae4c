"""Gated delta net: a state that fades, and in which a key's value is replaced. Yang et al. 2024, arXiv 2412.06464."""

# T rows, D width, G key heads, H value heads, K width of a key, V of a value, B sequences

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.kernels.delta_rule import delta_rule
from triptych.parts.activations import get_activation, silu
from triptych.parts.cache_needs import State
from triptych.parts.conv import Conv, GatedNorm
from triptych.parts.gated_delta_spec import GatedDeltaSpec
from triptych.parts.parameters import Linear, Part, parameter
from triptych.parts.step import Step

UNIT_EPS = 1e-6


def unit(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Vectors [..., K] at length one."""
    x = x.to(dtype)
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + UNIT_EPS)


class GatedDelta(Part):
    """out(norm(delta(q, k, v)) silu(z)) of q, k and v = act(conv(x)); these and z are one matrix, b and a another."""

    Spec = GatedDeltaSpec

    def __init__(self, spec: GatedDeltaSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.spec, self.key, self.activation = spec, key, get_activation(spec.activation)
        keys, values = spec.key_heads * spec.key_dim, spec.value_heads * spec.value_dim
        self.widths = (keys, keys, values)
        shapes = ((sum(self.widths), spec.conv - 1), (spec.value_heads, spec.key_dim, spec.value_dim))
        self.cache_need = State(shapes, sums=1)
        self.qkvz = Linear(width, sum(self.widths) + values, bias=False, pieces=(*self.widths, values))
        self.ba = Linear(width, 2 * spec.value_heads, bias=False, pieces=(spec.value_heads,) * 2)
        self.conv1d = Conv(sum(self.widths), spec.conv, bias=False, pieces=self.widths)
        self.A_log, self.dt_bias = parameter(spec.value_heads), parameter(spec.value_heads)
        sizes = (spec.value_heads, spec.value_dim)
        self.norm = GatedNorm(*sizes, eps=spec.eps, activation=silu, norm_first=True, shared=True)
        self.out_proj = Linear(values, width, bias=False)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        own, spec = self._modules, self.spec
        past, state = step.state(self.key, self.cache_need, dtype=x_TD.dtype)
        mixed, z = own["qkvz"](x_TD).split_with_sizes((sum(self.widths), self.widths[2]), -1)
        mixed, past = own["conv1d"](mixed, past, step.spans)
        y_THV, state = self._delta(self.activation(mixed), own["ba"](x_TD), state, step)
        step.keep(self.key, past, state)
        y: Tensor = own["norm"](y_THV, z.reshape(-1, spec.value_heads, spec.value_dim))
        y_TD: Tensor = own["out_proj"](y.flatten(1))
        return y_TD

    def _delta(self, mixed: Tensor, ba: Tensor, state: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        own, spec, dtype = self._parameters, self.spec, state.dtype
        q, k, v = mixed.split_with_sizes(self.widths, -1)
        q_TGK, k_TGK = (unit(each.reshape(-1, spec.key_heads, spec.key_dim), dtype) for each in (q, k))
        shared = spec.value_heads // spec.key_heads
        q_THK, k_THK = (each.repeat_interleave(shared, 1) for each in (q_TGK * spec.key_dim**-0.5, k_TGK))
        b_TH, a_TH = ba.chunk(2, -1)
        fading_TH = -own["A_log"].to(dtype).exp() * F.softplus(a_TH.to(dtype) + own["dt_bias"].to(dtype))
        v_THV = v.reshape(-1, spec.value_heads, spec.value_dim)
        beta_TH = b_TH.sigmoid() * spec.replaced
        return delta_rule(q_THK, k_THK, v_THV, fading_TH[..., None], beta_TH, state_BHKV=state, spans=step.spans)
