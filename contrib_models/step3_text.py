"""Attention whose queries come of a latent: many heads on few keys, at the cost of a narrow matrix.

The multi-matrix factorization attention of Hu et al. 2024, arXiv 2412.19255, as Step-3 has it.
"""
# T rows, D width, R q_rank, H heads, G key/value heads, K head width

from __future__ import annotations

from torch import Tensor, nn

from triptych.contrib_models.step3_text_spec import LatentQuerySpec
from triptych.kernels.attention import attention
from triptych.parts.cache_needs import Rows
from triptych.parts.parameters import Linear, Part
from triptych.parts.step import Step


class LatentQuery(Part):
    """out(attend(q_up(norm(latent)), k, v)); the latent, keys and values come from one matrix, in that order."""

    Spec = LatentQuerySpec

    def __init__(self, spec: LatentQuerySpec, *, width: int, key: str) -> None:
        super().__init__()
        self.spec, self.key, inner = spec, key, spec.kv_heads * spec.head_dim
        self.cache_need = Rows(spec.kv_heads, (spec.head_dim, spec.head_dim), spec.window)
        pieces = (spec.q_rank, inner, inner)
        self.qkv = Linear(width, sum(pieces), bias=False, pieces=pieces)
        self.q_norm: nn.Module = spec.norm.build(width=spec.q_rank)
        self.q_up = Linear(spec.q_rank, spec.heads * spec.head_dim, bias=False)
        self.out = Linear(spec.heads * spec.head_dim, width, bias=False)
        self.position: nn.Module | None = spec.position.build(head_dim=spec.head_dim) if spec.position else None

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        spec, own = self.spec, self._modules
        q_TR, k_TI, v_TI = own["qkv"](x_TD).split_with_sizes((spec.q_rank, *self.qkv.pieces[1:]), -1)
        q_THK = own["q_up"](own["q_norm"](q_TR)).view(len(x_TD), spec.heads, -1)
        k_TGK, v_TGK = (rows.view(len(x_TD), spec.kv_heads, -1) for rows in (k_TI, v_TI))
        if (position := own.get("position")) is not None:
            q_THK, k_TGK = position(q_THK, step), position(k_TGK, step)
        kept = step.store(self.key, k_TGK, v_TGK)
        scale = spec.head_dim**-0.5
        y_THK = attention(q_THK, k_TGK, v_TGK, spans=step.spans, kept=kept, scale=scale, window=spec.window)
        y_TD: Tensor = own["out"](y_THK.flatten(1))
        return y_TD
