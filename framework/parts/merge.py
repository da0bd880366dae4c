"""Neighbouring rows of a picture as one row: what is called pixel shuffle, patch merger or space to depth."""
# N rows of all items, D width, t pictures, h and w rows and columns after the step, Y and X places of a block

from __future__ import annotations

import torch
from torch import Tensor, nn

from triptych.errors import SpecError
from triptych.parts.grid import Grid
from triptych.parts.merge_spec import MergeSpec


class Merge(nn.Module):
    """[N, D] -> [N / S, D * S] for blocks of S places; `width` is that of what comes out."""

    Spec = MergeSpec

    def __init__(self, spec: MergeSpec, *, width: int, out: int) -> None:  # noqa: ARG002  (it has no say in the width)
        super().__init__()
        self.spec, self.width = spec, width * spec.side.height * spec.side.width

    def forward(self, x_ND: Tensor, grids: list[Grid]) -> tuple[Tensor, list[Grid]]:
        """Raises SpecError for other rows than those of the grids, such as class tokens, and for a grid of no block."""
        if self.spec.skip_apart:
            x_ND = _on_grids(x_ND, grids)
        lengths = [grid.rows for grid in grids]
        if sum(lengths) != len(x_ND):
            raise SpecError(f"{len(x_ND)} rows to merge, and their grids have {sum(lengths)}; `skip` others")
        after = [self.spec.after(grid) for grid in grids]
        if small := [grid for grid, to in zip(grids, after, strict=True) if not to.rows]:
            block = " x ".join(map(str, self.spec.side))
            raise SpecError(f"blocks of {block} rows, and of a picture of {small[0].h} x {small[0].w} none is whole")
        if self.spec.blocks:
            return x_ND.reshape(-1, self.width), after
        pieces = zip(x_ND.split_with_sizes(lengths), grids, after, strict=True)
        return torch.cat([self._merged(piece, grid, to) for piece, grid, to in pieces]), after

    def _merged(self, x_ND: Tensor, grid: Grid, to: Grid) -> Tensor:
        high, wide = self.spec.side
        whole_thwD = x_ND.view(grid.t, grid.h, grid.w, x_ND.shape[1])[:, : to.h * high, : to.w * wide]
        x_thYwXD = whole_thwD.reshape(grid.t, to.h, high, to.w, wide, x_ND.shape[1])
        order = (0, 1, 3, 2, 4, 5) if self.spec.inner == "channel" else (0, 1, 3, 5, 2, 4)
        return x_thYwXD.permute(order).reshape(to.rows, self.width)


def _on_grids(x_ND: Tensor, grids: list[Grid]) -> Tensor:
    """The rows that lie on a grid; before them each picture has as many that do not."""
    apart, over = divmod(len(x_ND) - sum(grid.rows for grid in grids), max(1, sum(grid.t for grid in grids)))
    if over or apart <= 0:
        return x_ND
    lengths = [grid.t * (grid.h * grid.w + apart) for grid in grids]
    pieces = zip(x_ND.split_with_sizes(lengths), grids, strict=True)
    return torch.cat([piece.view(grid.t, -1, x_ND.shape[1])[:, apart:].flatten(0, 1) for piece, grid in pieces])
