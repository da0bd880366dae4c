"""Mamba-2: heads whose state fades at one rate each. Dao and Gu 2024, arXiv 2405.21060."""

# T rows, D width, H heads, P head width, G groups of heads, N state, B sequences

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.kernels.attention import Spans
from triptych.kernels.ssd import ssd
from triptych.parts.activations import get_activation, silu
from triptych.parts.cache_needs import State
from triptych.parts.conv import Conv, GatedNorm
from triptych.parts.mamba_spec import Mamba2Spec
from triptych.parts.parameters import Linear, Part, parameter
from triptych.parts.step import Step


class Mamba2(Part):
    """out(norm(y silu(z))) of y = scan(act(conv(x, B, C)), dt) + D x; parameters have the names of checkpoints."""

    Spec = Mamba2Spec

    def __init__(self, spec: Mamba2Spec, *, width: int, key: str) -> None:
        super().__init__()
        self.spec, self.key, self.activation = spec, key, get_activation(spec.activation)
        inner, shared = spec.heads * spec.head_dim, spec.groups * spec.state
        self.widths, mixed = (inner, shared, shared), inner + 2 * shared
        self.cache_need = State(((mixed, spec.conv - 1), (spec.heads, spec.head_dim, spec.state)), sums=1)
        self.in_proj = Linear(width, inner + mixed + spec.heads, bias=spec.bias)
        self.conv1d = Conv(mixed, spec.conv, bias=spec.conv_bias)
        self.A_log, self.D, self.dt_bias = (parameter(spec.heads) for _ in range(3))
        if spec.out.eps is not None:
            sizes, first = (spec.groups, inner // spec.groups), spec.out.norm_first
            self.norm = GatedNorm(*sizes, eps=spec.out.eps, activation=silu, norm_first=first)
        self.out_proj = Linear(inner, width, bias=spec.bias if spec.out.bias is None else spec.out.bias)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        own, spec = self._modules, self.spec
        past, state = step.state(self.key, self.cache_need, dtype=x_TD.dtype)
        made = own["in_proj"](x_TD)
        if spec.scales:
            made = made * step.once(("scales", spec, made.dtype), lambda: self._scales(made))
        gate, mixed, dt_TH = made.split_with_sizes((self.widths[0], sum(self.widths), spec.heads), -1)
        mixed, past = own["conv1d"](mixed, past, step.spans)
        y_THP, state = self._scan(self.activation(mixed), dt_TH, state, step)
        step.keep(self.key, past, state)
        y_TD: Tensor = own["out_proj"](self._gated(y_THP, gate))
        return y_TD

    def _scan(self, mixed: Tensor, dt_TH: Tensor, state: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        own, spec = self._parameters, self.spec
        x, B, C = mixed.split_with_sizes(self.widths, -1)
        x_THP = x.reshape(-1, spec.heads, spec.head_dim)
        B_TGN, C_TGN = (each.reshape(-1, spec.groups, spec.state) for each in (B, C))
        dt_TH = F.softplus(dt_TH.to(state.dtype) + own["dt_bias"].to(state.dtype)).clamp(spec.dt.min, spec.dt.max)
        return scan(own, x_THP, B_TGN, C_TGN, dt_TH, state=state, spans=step.spans)

    def _gated(self, y_THP: Tensor, gate: Tensor) -> Tensor:
        if self.spec.out.eps is None:
            return y_THP.flatten(1) * F.silu(gate)
        rows = (len(gate), self.spec.groups, self.widths[0] // self.spec.groups)
        y: Tensor = self._modules["norm"](y_THP.reshape(rows), gate.reshape(rows))
        return y.flatten(1)

    def _scales(self, like: Tensor) -> Tensor:
        """A number for each that the input is made into."""
        assert self.spec.scales
        widths = (self.widths[0], *self.widths, self.spec.heads)
        each = [like.new_full((size,), scale) for size, scale in zip(widths, self.spec.scales, strict=True)]
        return torch.cat(each)


def scan(
    own: Mapping[str, Tensor],
    x_THP: Tensor,
    B_TGN: Tensor,
    C_TGN: Tensor,
    dt_TH: Tensor,
    *,
    state: Tensor,
    spans: Spans,
) -> tuple[Tensor, Tensor]:
    """Heads that go on from a state by steps dt, plus D x -> [T, H, P] and the state after them.

    `own` holds A_log and D [H]; sums are in the dtype of the state.
    """
    decay_TH = -own["A_log"].to(state.dtype).exp() * dt_TH
    y_THP, state = ssd(C_TGN, B_TGN, x_THP * dt_TH[..., None], decay_TH, state_BHPN=state, spans=spans)
    return (y_THP + x_THP * own["D"].to(state.dtype)[:, None]).to(x_THP.dtype), state
