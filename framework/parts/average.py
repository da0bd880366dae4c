"""The mean of neighbouring rows of a picture, or of a sound."""
# N rows of all items, D width, t frames, h and w rows and columns after the step, T, Y and X those of a block

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from triptych.errors import SpecError
from triptych.parts.average_spec import AverageSpec
from triptych.parts.grid import Grid


class Average(nn.Module):
    """[N, D] -> [N / (frames side^2), D]; `width` is that of what comes out."""

    Spec = AverageSpec

    def __init__(self, spec: AverageSpec, *, width: int, out: int) -> None:  # noqa: ARG002  (it has no say in the width)
        super().__init__()
        self.spec, self.width = spec, width

    def forward(self, x_ND: Tensor, grids: list[Grid]) -> tuple[Tensor, list[Grid]]:
        """Raises SpecError for other rows than those of the grids, such as class tokens, and where none are left."""
        lengths, after = [grid.rows for grid in grids], [self.spec.after(grid) for grid in grids]
        if sum(lengths) != len(x_ND):
            raise SpecError(f"{len(x_ND)} rows to average, and their grids have {sum(lengths)}; `skip` others")
        if small := [grid for grid, to in zip(grids, after, strict=True) if not to.rows]:
            block = self.spec.frames, self.spec.side, self.spec.side
            raise SpecError(f"the mean of {_named(block)} rows of {_named(small[0])}")
        pieces = zip(x_ND.split_with_sizes(lengths), grids, after, strict=True)
        return torch.cat([self._averaged(piece, grid, to) for piece, grid, to in pieces]), after

    def _averaged(self, x_ND: Tensor, grid: Grid, to: Grid) -> Tensor:
        side, frames = self.spec.side, self.spec.frames
        whole_thwD = x_ND.view(*grid, self.width)[: to.t * frames, : to.h * side, : to.w * side]
        blocks_tThYwXD = whole_thwD.reshape(to.t, frames, to.h, side, to.w, side, self.width)
        return blocks_tThYwXD.mean((1, 3, 5)).view(to.rows, self.width)


def _named(sizes: Sequence[int]) -> str:
    """Sizes with an x between them, of one frame without it."""
    return " x ".join(map(str, sizes[1:] if sizes[0] == 1 else sizes))
