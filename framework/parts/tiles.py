"""Tiles of an image, as a tower gave them rows, put together to what the language model reads."""
# N rows of all items, D width, t pictures, h and w their rows and columns

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.errors import SpecError
from triptych.parts.grid import Grid
from triptych.parts.parameters import parameter
from triptych.parts.tile_grid import TileGrid
from triptych.parts.tiles_spec import TilesSpec


class Tiles(nn.Module):
    """The small picture, then the image line by line without its borders, and `newline` after each line.

    The frames of a video follow one another at half their sides, with one `newline` at the end.
    """

    Spec = TilesSpec

    def __init__(self, spec: TilesSpec, *, width: int, out: int) -> None:  # noqa: ARG002
        super().__init__()
        self.width = width
        self.newline = parameter(width)

    def forward(self, x_ND: Tensor, grids: Sequence[TileGrid]) -> tuple[Tensor, list[Grid]]:
        """Raises SpecError for other rows than those of the pictures, such as class tokens."""
        lengths = [grid.t * grid.h * grid.w for grid in grids]
        if sum(lengths) != len(x_ND):
            raise SpecError(f"the tower gives {len(x_ND)} rows, and these tiles have {sum(lengths)}; `skip` others")
        items = zip(x_ND.split_with_sizes(lengths), grids, strict=True)
        found = [self._video(x, grid) if grid.down == 0 else self._image(x, grid) for x, grid in items]
        return torch.cat(found), [Grid(1, 1, len(each)) for each in found]

    def _image(self, x_ND: Tensor, grid: TileGrid) -> Tensor:
        small, tiles = x_ND.split_with_sizes([grid.h * grid.w, len(x_ND) - grid.h * grid.w])
        lines = tiles.view(grid.down, grid.across, grid.h, grid.w, -1).transpose(1, 2)
        canvas_hwD = lines.reshape(grid.down * grid.h, grid.across * grid.w, -1)
        top, left = (canvas_hwD.shape[0] - grid.high) // 2, (canvas_hwD.shape[1] - grid.wide) // 2
        shown_hwD = canvas_hwD[top : top + grid.high, left : left + grid.wide]
        (rows_hwD,) = _resized(shown_hwD[None], grid)
        ends = self.newline.to(rows_hwD.dtype).expand(grid.rows, 1, -1)
        return torch.cat((small, torch.cat((rows_hwD, ends), 1).flatten(0, 1)))

    def _video(self, x_ND: Tensor, grid: TileGrid) -> Tensor:
        frames_thwD = _resized(x_ND.view(grid.t, grid.h, grid.w, -1), grid)
        return torch.cat((frames_thwD.flatten(0, 2), self.newline.to(x_ND.dtype)[None]))


def _resized(x_thwD: Tensor, grid: TileGrid) -> Tensor:
    size = (grid.rows, grid.columns)
    if x_thwD.shape[1:3] == size:
        return x_thwD
    return F.interpolate(x_thwD.permute(0, 3, 1, 2), size=size, mode="bilinear").permute(0, 2, 3, 1)
