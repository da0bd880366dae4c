"""What a language model begins with: token ids -> rows."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from triptych.parts.embed_spec import TokensSpec
from triptych.parts.parameters import Linear, parameter


class Lookup(nn.Module):
    """A table of rows by number."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = parameter(count, width)

    def forward(self, numbers_T: Tensor) -> Tensor:
        return F.embedding(numbers_T, self.weight)


class Tokens(nn.Module):
    """norm(project(tokens[id]) * scale + types[type] + positions[position]); what is not there is left out.

    The look-up stands apart from the rest, because rows of images come between the two.
    """

    Spec: ClassVar[type[TokensSpec]] = TokensSpec

    def __init__(self, spec: TokensSpec, *, width: int) -> None:
        super().__init__()
        self.vocab, self.unused = spec.vocab, spec.unused
        self.scale, self.scale_all = (spec.scale, 1.0) if spec.scales == "tokens" else (1.0, spec.scale)
        self.tokens = Lookup(spec.vocab, spec.inner or width)
        self.project = Linear(spec.inner, width, bias=False) if spec.inner else None
        self.positions = Lookup(spec.positions + spec.unused, width) if spec.positions else None
        self.types = Lookup(spec.types, width) if spec.types else None
        self.norm: nn.Module | None = spec.norm.build(width=width) if spec.norm else None

    def lookup(self, ids_T: Tensor) -> Tensor:
        """Ids [T], each below `vocab` -> rows [T, D]."""
        x_TD: Tensor = self.tokens(ids_T)
        if self.project is not None:
            x_TD = self.project(x_TD)
        # the scale is rounded to the dtype of the rows first, as Gemma has it
        return x_TD if self.scale == 1.0 else x_TD * x_TD.new_full((), self.scale)

    def forward(self, x_TD: Tensor, positions_T: Tensor, types_T: Tensor | None = None) -> Tensor:
        """Rows [T, D], scaled if the scale is for all, with the learned rows of their types and positions, normed."""
        if self.scale_all != 1.0:
            x_TD = x_TD * self.scale_all
        if self.types is not None:
            x_TD = x_TD + (self.types.weight[0] if types_T is None else self.types(types_T))
        if self.positions is not None:
            x_TD = x_TD + self.positions(positions_T + self.unused if self.unused else positions_T)
        return self.norm(x_TD) if self.norm is not None else x_TD
