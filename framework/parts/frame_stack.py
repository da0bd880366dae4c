"""Frames after each other as one row: what audio families call frame stacking."""
# N rows of all items, D width

from __future__ import annotations

from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.errors import SpecError
from triptych.parts.frame_stack_spec import FrameStackSpec
from triptych.parts.grid import Grid


class FrameStack(nn.Module):
    """[N, D] -> [N / frames, D * frames]; `width` is that of what comes out."""

    Spec = FrameStackSpec

    def __init__(self, spec: FrameStackSpec, *, width: int, out: int) -> None:  # noqa: ARG002  (it has no say in the width)
        super().__init__()
        self.spec, self.width = spec, width * spec.frames

    def forward(self, x_ND: Tensor, grids: list[Grid]) -> tuple[Tensor, list[Grid]]:
        """Raises SpecError for other rows than those of the grids."""
        if (rows := sum(grid.rows for grid in grids)) != len(x_ND):
            raise SpecError(f"{len(x_ND)} rows to stack, and their grids have {rows}; `skip` others")
        clips = x_ND.split_with_sizes([*chain(*(self.spec.clips(grid.rows) for grid in grids))])
        return torch.cat([self._stacked(clip) for clip in clips]), [self.spec.after(grid) for grid in grids]

    def _stacked(self, x_ND: Tensor) -> Tensor:
        lacking = -len(x_ND) % self.spec.frames
        return F.pad(x_ND, (0, 0, 0, lacking)).view(-1, self.width)
