"""Lightning attention: linear attention whose heads fade at fixed rates. Qin et al. 2024, arXiv 2401.04658."""

# T rows, D width, H heads, K head width, G groups of the norm, B sequences

from __future__ import annotations

import torch
from torch import Tensor, nn

from triptych.kernels.ssd import ssd
from triptych.parts.activations import get_activation
from triptych.parts.cache_needs import State
from triptych.parts.conv import GatedNorm
from triptych.parts.lightning_spec import LightningSpec
from triptych.parts.parameters import Linear, Part
from triptych.parts.step import Step


class Lightning(Part):
    """out(norm(y) sigmoid(gate(x))), where y_t = S_t q_t of S_t = exp(-rate) S_(t-1) + v_t k_t."""

    Spec = LightningSpec

    def __init__(self, spec: LightningSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.spec, self.key = spec, key
        self.activation = get_activation(spec.activation) if spec.activation else None
        inner = spec.heads * spec.head_dim
        self.cache_need = State(((spec.heads, spec.head_dim, spec.head_dim),), sums=1)
        self.qkv = Linear(width, 3 * inner, bias=spec.bias, pieces=(inner,) * 3)
        self.gate = Linear(width, inner, bias=False)
        sizes = (spec.out.groups, inner // spec.out.groups)
        self.norm = GatedNorm(*sizes, eps=spec.out.eps, activation=torch.sigmoid, norm_first=True)
        self.out = Linear(inner, width, bias=spec.bias if spec.out.bias is None else spec.out.bias)
        self.position: nn.Module | None = spec.position and spec.position.build(head_dim=spec.head_dim)
        self.q_norm: nn.Module | None = spec.qk_norm and spec.qk_norm.build(width=spec.head_dim)
        self.k_norm: nn.Module | None = spec.qk_norm and spec.qk_norm.build(width=spec.head_dim)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        own, spec = self._modules, self.spec
        (state,) = step.state(self.key, self.cache_need, dtype=x_TD.dtype)
        q_THK, k_THK, v_THK = self._heads(x_TD, step)
        rates_H = step.once(("rates", spec, state.dtype), lambda: self._rates(state))
        y_THK, state = ssd(q_THK, k_THK, v_THK, -rates_H.expand(len(x_TD), -1), state_BHPN=state, spans=step.spans)
        step.keep(self.key, state)
        groups = (len(x_TD), spec.out.groups, -1)
        y_TGK: Tensor = own["norm"](y_THK.reshape(groups), own["gate"](x_TD).reshape(groups))
        y_TD: Tensor = own["out"](y_TGK.flatten(1))
        return y_TD

    def _heads(self, x_TD: Tensor, step: Step) -> tuple[Tensor, Tensor, Tensor]:
        own, spec = self._modules, self.spec
        qkv = own["qkv"](x_TD)
        qkv = self.activation(qkv) if self.activation else qkv
        q, k, v = qkv.view(-1, 3, spec.heads, spec.head_dim).unbind(1)
        if "q_norm" in own:
            q, k = own["q_norm"](q), own["k_norm"](k)
        if "position" in own:
            q, k = own["position"](q, step), own["position"](k, step)
        return (q if spec.scale == 1 else q * spec.scale), k, v

    def _rates(self, like: Tensor) -> Tensor:
        """How fast each head fades [H]: a geometric row of slopes that ends at 2^-8 of `fading`.

        As ALiBi has it that row is of a power of two, and for the heads beyond, steps between its first follow.
        """
        count, dtype = self.spec.heads, like.dtype
        row = count if self.spec.slopes == "even" else 1 << count.bit_length() - 1
        first, more = (torch.arange(n, device=like.device, dtype=dtype) for n in (row, count - row))
        return self.spec.fading * torch.exp2(-8 * torch.cat([first + 1, more + 0.5]) / row)
