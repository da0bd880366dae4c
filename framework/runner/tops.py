"""Whether a token could be drawn from each row of logits, told by the highest of them."""

# B requests of a step

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, isnan

import torch
from torch import Tensor

from triptych.errors import TriptychError


@dataclass(frozen=True)
class Tops:
    """The highest logit of each row, [B], after all that was forbidden, and the `dtype` that the model gave them in."""

    values_B: Tensor
    dtype: torch.dtype

    def failures(self) -> dict[int, TriptychError]:
        """The rows whose highest logit is no number, each with the reason; waits for the device."""
        tops = self.values_B.tolist()
        if all(map(isfinite, tops)):
            return {}
        return {row: TriptychError(self._why(top)) for row, top in enumerate(tops) if not isfinite(top)}

    def _why(self, top: float) -> str:
        if top == -inf:
            return "no token is left to draw: each is forbidden, or has -inf as its logit"
        found = "NaN" if isnan(top) else "inf"
        return f"the model gave {found} as a logit in {self.dtype}; another dtype may help, float32 say"
