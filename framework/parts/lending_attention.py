"""Self-attention whose keys and values later layers look at too."""
# T rows, D width

from __future__ import annotations

from torch import Tensor

from triptych.parts.attention import Attention
from triptych.parts.lending_attention_spec import LendingAttentionSpec
from triptych.parts.step import Step


class LendingAttention(Attention):
    """Attention that leaves its keys and values in the step. Sun et al. 2024, arXiv 2405.05254."""

    Spec = LendingAttentionSpec

    def __init__(self, spec: LendingAttentionSpec, *, width: int, key: str) -> None:
        super().__init__(spec, width=width, key=key)
        self.leaves = spec.leaves

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        q, rows = self._seen(x_TD, step)
        step.left[self.leaves] = rows
        return self._out(self._attended(q, rows, step), x_TD)
