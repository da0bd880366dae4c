"""Self-attention to keys and values of an earlier layer, which are kept once for both."""
# T rows, D width, H heads, K head width

from __future__ import annotations

from torch import Tensor, nn

from triptych.kernels.attention import attention
from triptych.parts.borrowed_attention_spec import BorrowedAttentionSpec
from triptych.parts.fused_heads import SeenRows
from triptych.parts.parameters import Linear, Part
from triptych.parts.step import Step


class BorrowedAttention(Part):
    """out(attend(q, k and v of an earlier layer)). Sun et al. 2024, arXiv 2405.05254."""

    Spec = BorrowedAttentionSpec
    cache_need = None

    def __init__(self, spec: BorrowedAttentionSpec, *, width: int, key: str) -> None:
        super().__init__()
        self.spec, self.key = spec, key
        self.scale = spec.head_dim**-0.5 if spec.scores.scale is None else spec.scores.scale
        self.q = Linear(width, spec.heads * spec.head_dim, bias=spec.bias)
        self.out = Linear(spec.heads * spec.head_dim, width, bias=spec.bias)
        self.position: nn.Module | None = spec.position.build(head_dim=spec.head_dim) if spec.position else None
        temperature = spec.scores.temperature
        self.temperature: nn.Module | None = temperature and temperature.build(head_dim=spec.head_dim)
        self.q_norm: nn.Module | None = spec.q_norm.build(width=spec.head_dim) if spec.q_norm else None

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        own, rows = self._modules, step.left[self.spec.left]
        q_THK: Tensor = own["q"](x_TD).unflatten(-1, (self.spec.heads, -1))
        q_THK = own["q_norm"](q_THK) if "q_norm" in own else q_THK
        q_THK = own["position"](q_THK, step) if "position" in own else q_THK
        q_THK = own["temperature"](q_THK, step) if "temperature" in own else q_THK
        y: Tensor = own["out"](self._attended(q_THK, rows, step).flatten(1))
        return y

    def _attended(self, q_THK: Tensor, rows: SeenRows, step: Step) -> Tensor:
        k, v, kept = rows
        reach = self.spec.reach
        return attention(
            q_THK,
            k,
            v,
            spans=step.cut(reach.within),
            kept=kept,
            scale=self.scale,
            window=reach.window,
            chunk=reach.chunk,
            whole_blocks=reach.whole_blocks,
        )
