"""Self-attention in a stack that is gone through several times, as IQuest LoopCoder has it."""
# T rows, D width, H heads, K head width

from __future__ import annotations

import torch
from torch import Tensor

from triptych.contrib_models.iquest_loopcoder_spec import LoopedAttentionSpec
from triptych.parts.attention import Attention
from triptych.parts.cache_needs import Rows
from triptych.parts.parameters import Part, parameter
from triptych.parts.step import Step


class LoopedAttention(Attention):
    """Attention; after the first time, g * attend(q, rows of the first time) + (1 - g) * attend(q, own rows).

    g = sigmoid(q weight + bias) is a number for each head.
    """

    Spec = LoopedAttentionSpec

    def __init__(self, spec: LoopedAttentionSpec, *, width: int, key: str) -> None:
        super().__init__(spec, width=width, key=key)
        self.window = spec.again_window
        self.need_again = Rows(spec.kv_heads, (spec.head_dim, spec.value_dim or spec.head_dim), spec.again_window)
        self.again = HeadGate(spec.heads, spec.head_dim)

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        q, rows = self._seen(x_TD, step)
        if step.loop == 0:
            step.left[self.key] = rows
            return self._out(self._attended(q, rows, step), x_TD)
        first, own = self._attended(q, step.left[self.key], step), self._attended(q, rows, step, window=self.window)
        return self._out(torch.lerp(own, first, self._modules["again"](q)), x_TD)


class HeadGate(Part):
    """sigmoid(q weight + bias) of each head: [T, H, K] -> [T, H, 1]."""

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        self.weight, self.bias = parameter(heads, head_dim), parameter(heads)

    def forward(self, q_THK: Tensor) -> Tensor:
        own = self._parameters
        return torch.sigmoid((q_THK * own["weight"]).sum(-1, keepdim=True) + own["bias"][:, None])
