"""Tables of positions of an image tower: a learned row for each place of a grid."""
# N rows, D width, Y and X places of a grid

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.parameters import parameter
from triptych.parts.tables_spec import BucketsSpec, LearnedSpec


class Learned(nn.Module):
    """The rows of a grid, as they are or resampled to the grid."""

    Spec = LearnedSpec

    def __init__(self, spec: LearnedSpec, *, width: int) -> None:
        super().__init__()
        self.side, self.prefix, self.resample, self.antialias = spec.side, spec.prefix, spec.resample, spec.antialias
        self.corners = spec.corners or None  # as torch has it, for which False is said with some modes alone
        self.weight = parameter(spec.prefix + spec.side.height * spec.side.width, width)

    def forward(self, grid: Grid) -> Tensor:
        """The rows of `grid`, those of the prefix first. Raises InputError for a grid that they cannot be made for."""
        if grid == (1, *self.side):
            return self.weight
        if self.resample is None or grid.t != 1:
            found = f"an image of {grid.h} x {grid.w} patches"
            raise InputError(f"{found} for a tower whose positions are {self.side.height} x {self.side.width}")
        before, square = self.weight[: self.prefix], self.weight[self.prefix :]
        return torch.cat((before, self._resampled(square, grid)))

    def _resampled(self, square_ND: Tensor, grid: Grid) -> Tensor:
        """In float32: few devices resample halves with antialias."""
        assert self.resample is not None
        square_1DYX = square_ND.float().T.reshape(1, -1, *self.side)
        found = F.interpolate(
            square_1DYX, (grid.h, grid.w), mode=self.resample, antialias=self.antialias, align_corners=self.corners
        )
        return found[0].flatten(1).T.to(square_ND.dtype)


class Buckets(nn.Module):
    """The rows of the places of a square that the places of the grid fall on."""

    Spec = BucketsSpec

    def __init__(self, spec: BucketsSpec, *, width: int) -> None:
        super().__init__()
        self.side = spec.side
        self.weight = parameter(spec.side**2, width)

    def forward(self, grid: Grid) -> Tensor:
        """The rows [N, D] of `grid`, frame by frame."""
        rows_Y, columns_X = self._fallen(grid.h), self._fallen(grid.w)
        places_N = (rows_Y[:, None] * self.side + columns_X).flatten()
        return self.weight[places_N.repeat(grid.t)]

    def _fallen(self, count: int) -> Tensor:
        """[count]: on which of `side` places each of `count` falls. In float32, which decides for those on an edge."""
        device = self.weight.device
        edges = torch.arange(1 / self.side, 1.0, 1 / self.side, device=device)
        places = torch.arange(count, dtype=torch.float32, device=device) * (1.0 / torch.tensor(count, device=device))
        return torch.bucketize(places.clamp(max=1.0 - 1e-6), edges, right=True)
