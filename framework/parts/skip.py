"""A mixer by which rows skip layers."""
# T rows, D width

from __future__ import annotations

import torch
from torch import Tensor

from triptych.parts.parameters import Part
from triptych.parts.skip_spec import SkipSpec
from triptych.parts.step import Step


class Skip(Part):
    """share * (rows of the slot - x), which makes the residual sum a mean of both; nought where nothing is recalled."""

    Spec = SkipSpec
    cache_need = None

    def __init__(self, spec: SkipSpec, *, width: int, key: str) -> None:  # noqa: ARG002  (rows of any width)
        super().__init__()
        self.key, self.spec = key, spec

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        if self.spec.keep:
            step.left[self.spec.slot] = x_TD
        found_TD: Tensor | None = step.left.get(self.spec.slot) if self.spec.recall else None
        return torch.zeros_like(x_TD) if found_TD is None else self.spec.share * (found_TD - x_TD)
