"""The mean of neighbouring rows of a picture."""
# N rows of all items, D width, t pictures, h and w rows and columns after the step

from __future__ import annotations

import torch
from torch import Tensor, nn

from triptych.errors import SpecError
from triptych.parts.average_spec import AverageSpec
from triptych.parts.grid import Grid


class Average(nn.Module):
    """[N, D] -> [N / side^2, D]; `width` is that of what comes out."""

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
            raise SpecError(f"the mean of {self.spec.side} x {self.spec.side} rows of {small[0].h} x {small[0].w}")
        pieces = zip(x_ND.split_with_sizes(lengths), grids, after, strict=True)
        return torch.cat([self._averaged(piece, grid, to) for piece, grid, to in pieces]), after

    def _averaged(self, x_ND: Tensor, grid: Grid, to: Grid) -> Tensor:
        side = self.spec.side
        whole_thwD = x_ND.view(grid.t, grid.h, grid.w, self.width)[:, : to.h * side, : to.w * side]
        return whole_thwD.reshape(grid.t, to.h, side, to.w, side, self.width).mean((2, 4)).view(to.rows, self.width)
