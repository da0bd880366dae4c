"""Multi-head latent attention: a cache keeps one latent and one turned key a token, whatever the number of heads.

DeepSeek-AI 2024, arXiv 2405.04434, section 2.1.
"""
# T rows, D width, H heads, R channels of the latent of keys and values, N and P channels of a head that stay and that
# turn, V width of a value, C = R + P

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from triptych.kernels.attention import Kept, attention
from triptych.parts.cache_needs import Rows
from triptych.parts.mla_spec import MlaSpec
from triptych.parts.parameters import Linear, Part
from triptych.parts.rope import score_factor
from triptych.parts.rope_spec import RopeSpec
from triptych.parts.step import Step


class Mla(Part):
    """out(attend(q, k, v)), where keys and values are a matrix times the latent.

    Where a cache has older rows, latents are not unfolded: their matrix goes to the other side of the product, and each
    head looks at the latents themselves, as one key that all heads share (there, section 2.1.2).
    """

    Spec: ClassVar[type[MlaSpec]] = MlaSpec

    def __init__(self, spec: MlaSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.spec, self.key, latents, scores = spec, key, spec.latents, spec.scores
        scale = (spec.nope_dim + spec.rope_dim) ** -0.5 if scores.scale is None else scores.scale
        stretched = score_factor(spec.position) if isinstance(spec.position, RopeSpec) else 1.0
        self.scale = scale * stretched * latents.q_scale
        self.cache_need = Rows(1, (latents.kv + spec.rope_dim,))
        q_width = spec.heads * (spec.nope_dim + spec.rope_dim)
        if latents.q:
            self.q_a = Linear(width, latents.q, bias=spec.bias)
            self.q_a_norm: nn.Module = latents.norm.build(width=latents.q)
            self.q_b = Linear(latents.q, q_width, bias=False)
        else:
            self.q = Linear(width, q_width, bias=False)
        self.kv_a = Linear(width, latents.kv + spec.rope_dim, bias=spec.bias)
        self.kv_a_norm: nn.Module = latents.norm.build(width=latents.kv)
        self.kv_b = Linear(latents.kv, spec.heads * (spec.nope_dim + spec.value_dim), bias=False)
        self.gate = Linear(width, spec.heads, bias=False) if spec.gate else None
        self.out = Linear(spec.heads * spec.value_dim, width, bias=spec.bias)
        self.position: nn.Module | None = spec.position.build(head_dim=spec.rope_dim) if spec.position else None
        temperature = scores.temperature
        self.temperature: nn.Module | None = temperature and temperature.build(head_dim=spec.rope_dim)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        q_THN, q_THP, row_T1C = self._turned(x_TD, self._low(x_TD), step)
        kept = step.store(self.key, row_T1C)
        return self._given(x_TD, self._attended(q_THN, q_THP, row_T1C, kept, step))

    def _given(self, x_TD: Tensor, y_THV: Tensor) -> Tensor:
        """What the layer gives of what its heads do."""
        own = self._modules
        if "gate" in own:
            y_THV = y_THV * own["gate"](x_TD).float().sigmoid().to(y_THV.dtype)[..., None]
        y_TD: Tensor = own["out"](y_THV.flatten(1))
        return y_TD

    def _low(self, x_TD: Tensor) -> Tensor:
        """What queries are made of: their latents, or the rows themselves."""
        own = self._modules
        low_TI: Tensor = own["q_a_norm"](own["q_a"](x_TD)) if "q_a" in own else x_TD
        return low_TI

    def _turned(self, x_TD: Tensor, low_TI: Tensor, step: Step) -> tuple[Tensor, Tensor, Tensor]:
        """The two parts of the queries, and what a cache keeps of each row: its latent, then the key that is turned."""
        spec, own = self.spec, self._modules
        q = own["q_b" if "q_b" in own else "q"](low_TI).view(len(x_TD), spec.heads, -1)
        q = own["temperature"](q, step) if "temperature" in own else q
        q_THN, q_THP = q.split_with_sizes((spec.nope_dim, spec.rope_dim), -1)
        latent_TR, k_TP = own["kv_a"](x_TD).split_with_sizes((spec.latents.kv, spec.rope_dim), -1)
        latent_TR, k_T1P = own["kv_a_norm"](latent_TR) * spec.latents.kv_scale, k_TP[:, None]
        if (position := own.get("position")) is not None:
            q_THP, k_T1P = position(torch.cat((q_THP, k_T1P), 1), step).split_with_sizes((spec.heads, 1), 1)
        return q_THN, q_THP, torch.cat((latent_TR[:, None], k_T1P), -1)

    def _attended(self, q_THN: Tensor, q_THP: Tensor, row_T1C: Tensor, kept: Kept | None, step: Step) -> Tensor:
        if kept is None or not any(step.spans.past):
            return self._unfolded(q_THN, q_THP, row_T1C, step)
        q_THC = self._folded(q_THN, q_THP)
        return self._values(attention(q_THC, row_T1C, row_T1C, spans=step.spans, kept=kept, scale=self.scale))

    def _unfolded(self, q_THN: Tensor, q_THP: Tensor, row_T1C: Tensor, step: Step) -> Tensor:
        """Over the rows of the step alone, with keys and values of each head."""
        spec = self.spec
        latent_T1R, k_T1P = row_T1C.split_with_sizes((spec.latents.kv, spec.rope_dim), -1)
        kv_THI = self._modules["kv_b"](latent_T1R[:, 0]).view(len(row_T1C), spec.heads, -1)
        k_THN, v_THV = kv_THI.split_with_sizes((spec.nope_dim, spec.value_dim), -1)
        k = torch.cat((k_THN, k_T1P.expand(-1, spec.heads, -1)), -1)
        return attention(torch.cat((q_THN, q_THP), -1), k, v_THV, spans=step.spans, scale=self.scale)

    def _folded(self, q_THN: Tensor, q_THP: Tensor) -> Tensor:
        """Queries [T, H, C] that look at latents themselves."""
        return torch.cat((torch.einsum("thn,hnr->thr", q_THN, self._sides()[0]), q_THP), -1)

    def _values(self, y_THC: Tensor) -> Tensor:
        """Values [T, H, V] of means of latents."""
        return torch.einsum("thr,hvr->thv", y_THC[..., : self.spec.latents.kv], self._sides()[1])

    def _sides(self) -> tuple[Tensor, Tensor]:
        """The matrices of each head that make its keys and its values of a latent."""
        spec = self.spec
        weight: Tensor = self._modules["kv_b"]._parameters["weight"]  # type: ignore[assignment]
        k_up_HNR, v_up_HVR = weight.view(spec.heads, -1, spec.latents.kv).split_with_sizes(
            (spec.nope_dim, spec.value_dim), 1
        )
        return k_up_HNR, v_up_HVR
