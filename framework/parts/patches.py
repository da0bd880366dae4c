"""What an image tower begins with: images -> rows."""
# N rows, D width, C channels, Y and X pixels, P numbers of a patch

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.parameters import Linear, parameter
from triptych.parts.patches_spec import PatchesSpec
from triptych.parts.places import places_of

PICTURES = 4  # dims of several pictures [t, C, Y, X]; one has a dim less


class Patches(nn.Module):
    """norm([class_token, patch(pixels)] + table); what is not there is left out."""

    Spec = PatchesSpec

    def __init__(self, spec: PatchesSpec, *, width: int) -> None:
        super().__init__()
        self.size, self.channels = spec.size, spec.channels
        self.patch = Linear(spec.channels * spec.size.height * spec.size.width, width, bias=spec.bias)
        self.class_token = parameter(width) if spec.class_token else None
        self.table: nn.Module | None = spec.table.build(width=width) if spec.table else None
        self.norm: nn.Module | None = spec.norm.build(width=width) if spec.norm else None

    def sequences(self, item: Tensor) -> Sequence[Tensor]:
        """The pictures of an item, which may have several [t, C, Y, X]."""
        return item.unbind() if item.ndim == PICTURES else [item]

    def forward(self, items: Sequence[Tensor]) -> tuple[Tensor, list[Grid], list[int]]:
        """Images [C, Y, X] -> rows [N, D] of all, the grid of each, the number of rows of each."""
        grids = [self._grid(item) for item in items]
        patches_NP = torch.cat([self._cut(item, grid) for item, grid in zip(items, grids, strict=True)])
        pieces = self.patch(patches_NP).split([grid.rows for grid in grids])
        found = [self._placed(x_ND, grid) for x_ND, grid in zip(pieces, grids, strict=True)]
        rows_ND = torch.cat(found)
        if self.norm is not None:
            rows_ND = self.norm(rows_ND)
        return rows_ND, grids, [len(x) for x in found]

    def places(self, grid: Grid) -> NDArray[np.int64]:
        """Height and width [n, 2] of each row of an item; a class token stands where nothing is turned."""
        apart = np.zeros((0 if self.class_token is None else 1, 2), np.int64)
        return np.concatenate((apart, places_of(grid)))

    def _grid(self, pixels_CYX: Tensor) -> Grid:
        height, width = self.size
        fits = pixels_CYX.ndim == 3 and pixels_CYX.shape[1] >= height and pixels_CYX.shape[2] >= width
        if not fits or pixels_CYX.shape[0] != self.channels:
            wanted = f"[{self.channels}, height, width] of at least {height} x {width}"
            raise InputError(f"an image of shape {list(pixels_CYX.shape)}; this tower takes {wanted}")
        return Grid(1, pixels_CYX.shape[1] // height, pixels_CYX.shape[2] // width)

    def _cut(self, pixels_CYX: Tensor, grid: Grid) -> Tensor:
        """[C, Y, X] -> a flat patch for each place of the grid, channel by channel."""
        height, width = self.size
        whole = pixels_CYX[:, : grid.h * height, : grid.w * width]
        places = whole.reshape(self.channels, grid.h, height, grid.w, width).permute(1, 3, 0, 2, 4)
        return places.reshape(grid.rows, -1)

    def _placed(self, x_ND: Tensor, grid: Grid) -> Tensor:
        if self.class_token is not None:
            x_ND = torch.cat((self.class_token[None], x_ND))
        if self.table is not None:
            x_ND = x_ND + self.table(grid)
        return x_ND
