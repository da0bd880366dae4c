"""Attention of a sequence to rows beside it: what an encoder made of an item."""
# T rows, D width, S rows of sources, H heads, G key/value heads, K head width

from __future__ import annotations

from torch import Tensor

from triptych.kernels.cross_attention import cross_attention
from triptych.parts.cache_needs import Cross
from triptych.parts.cross_attention_spec import CrossAttentionSpec
from triptych.parts.parameters import Linear, Part
from triptych.parts.step import Step


class CrossAttention(Part):
    """out(attend(q of the rows, k and v of the source)); keys and values of a source are made once, and kept."""

    Spec = CrossAttentionSpec

    def __init__(self, spec: CrossAttentionSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.spec, self.key = spec, key
        self.scale = spec.head_dim**-0.5 if spec.scale is None else spec.scale
        self.cache_need = Cross(((spec.kv_heads, spec.rows, spec.head_dim),) * 2, spec.source)
        inner, inner_kv = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
        self.q = Linear(width, inner, bias=spec.bias)
        self.kv = Linear(width, 2 * inner_kv, bias=spec.bias, pieces=(inner_kv, inner_kv))
        self.out = Linear(inner, width, bias=spec.bias)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        """Rows [T, D] after a look at the source. Raises InputError for a step without it."""
        source, spec = step.source(self.spec.source, rows=self.spec.rows), self.spec
        own = self._modules
        kept = step.keep_source(self.key, source, self._keys_and_values)
        q_THK = own["q"](x_TD).view(-1, spec.heads, spec.head_dim)
        y_THK = cross_attention(q_THK, kept, lengths=source.lengths, spans=step.spans, scale=self.scale)
        y_TD: Tensor = own["out"](y_THK.flatten(1))
        return y_TD

    def _keys_and_values(self, rows_SD: Tensor) -> tuple[Tensor, Tensor]:
        k_SGK, v_SGK = self._modules["kv"](rows_SD).view(-1, 2, self.spec.kv_heads, self.spec.head_dim).unbind(1)
        return k_SGK, v_SGK
