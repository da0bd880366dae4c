"""What a language model ends with: rows -> logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from triptych.kernels.linear import linear
from triptych.parts.embed import Tokens
from triptych.parts.head_spec import HeadSpec
from triptych.parts.parameters import Linear, parameter


class Head(nn.Module):
    """softcap(scale * (weight project(x) + bias)).

    A tied head reads the embedding's rows and has no weight of its own.
    """

    Spec = HeadSpec

    def __init__(self, spec: HeadSpec, *, vocab: int, width: int, embed: Tokens) -> None:
        super().__init__()
        self.tied, self.scale, self.softcap = spec.tied, spec.scale, spec.softcap
        self._embed = (embed,)  # in a tuple: its parameters are not the head's
        self.project = Linear(width, spec.inner, bias=False) if spec.inner else None
        self.weight = None if spec.tied else parameter(vocab, spec.inner or width)
        self.bias = parameter(vocab) if spec.bias else None

    @property
    def matrix(self) -> Tensor:
        """The weight [V, D], its own or the embedding's."""
        weight = self._embed[0].tokens.weight if self.tied else self.weight
        assert weight is not None
        return weight

    def forward(self, x_ND: Tensor) -> Tensor:
        """Rows [N, D] -> logits [N, V]."""
        if self.project is not None:
            x_ND = self.project(x_ND)
        logits_NV = linear(x_ND, self.matrix, self.bias)
        if self.scale != 1.0:
            logits_NV = logits_NV * self.scale
        return self.softcap * torch.tanh(logits_NV / self.softcap) if self.softcap is not None else logits_NV
