"""What YAML may say of the step that takes the mean of neighbouring rows, and what it makes of a grid. No torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveInt

from triptych.parts.grid import Grid
from triptych.spec.base import PartSpec


class AverageSpec(PartSpec):
    """`side` x `side` neighbours in `frames` frames become their mean. What is over at an edge is left out."""

    builds: ClassVar[str | type] = "triptych.parts.average:Average"
    side: PositiveInt = Field(le=2**6)
    frames: PositiveInt = Field(1, le=2**6)

    def after(self, grid: Grid) -> Grid:
        """The grid of what comes out."""
        return Grid(grid.t // self.frames, grid.h // self.side, grid.w // self.side)
