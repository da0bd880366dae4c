"""What YAML may say of the step that joins frames into one row, and what it makes of a grid. No torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveInt

from triptych.parts.grid import Grid
from triptych.spec.base import PartSpec


class FrameStackSpec(PartSpec):
    """`frames` rows after each other become one, side by side in its width; noughts fill up the last.

    Of an item in clips of `clip` rows each is stacked by itself.
    """

    builds: ClassVar[str | type] = "triptych.parts.frame_stack:FrameStack"
    frames: PositiveInt = Field(le=2**6)
    clip: PositiveInt | None = None

    def clips(self, rows: int) -> list[int]:
        """How many rows each clip of an item has."""
        clip = self.clip or max(rows, 1)
        return [clip] * (rows // clip) + ([rows % clip] if rows % clip else [])

    def after(self, grid: Grid) -> Grid:
        """The grid of what comes out."""
        return Grid(sum(-(-rows // self.frames) for rows in self.clips(grid.rows)), 1, 1)
