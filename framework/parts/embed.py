"""What a language model begins with: token ids -> rows."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from triptych.parts.embed_spec import TokensSpec
from triptych.parts.parameters import parameter
from triptych.parts.step import Step


class Tokens(nn.Module):
    """norm(tokens[id] * scale + positions[position]); what is not there is left out."""

    Spec = TokensSpec

    def __init__(self, spec: TokensSpec, *, width: int) -> None:
        super().__init__()
        self.scale = spec.scale
        self.tokens = parameter(spec.vocab, width)
        self.positions = parameter(spec.positions, width) if spec.positions else None
        self.norm: nn.Module | None = spec.norm.build(width=width) if spec.norm else None

    def forward(self, ids_T: Tensor, step: Step) -> Tensor:
        """Ids [T], each below `vocab` -> rows [T, D]."""
        x_TD = F.embedding(ids_T, self.tokens)
        if self.scale != 1.0:
            x_TD = x_TD * x_TD.new_full((), self.scale)  # rounded to the dtype of the rows first, as Gemma has it
        if self.positions is not None:
            x_TD = x_TD + F.embedding(step.positions, self.positions)
        return self.norm(x_TD) if self.norm is not None else x_TD
