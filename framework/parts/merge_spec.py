"""What YAML may say of the step that joins neighbouring rows into one, and what it makes of a grid. No torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import field_validator

from triptych.parts.grid import Grid
from triptych.parts.sides import Sides, Size
from triptych.spec.base import PartSpec

MOST = 2**6  # neighbours, each way


class MergeSpec(PartSpec):
    """`side` x `side` neighbours become one row, side by side in its width. What is over at an edge is left out.

    A `side` of two numbers is the height and width of a block that need not be square. `inner` runs fastest in a row:
    the numbers of one place, or the places of one number. `blocks`: the rows come block by block already. `skip_apart`
    leaves out rows that a picture has before those of its grid, such as a class token.
    """

    builds: ClassVar[str | type] = "triptych.parts.merge:Merge"
    side: Sides
    inner: Literal["channel", "place"] = "channel"
    blocks: bool = False
    skip_apart: bool = False

    @field_validator("side")
    @classmethod
    def _few(cls, side: Size) -> Size:
        if max(side) > MOST:
            raise ValueError(f"a side is less than or equal to {MOST}")
        return side

    def after(self, grid: Grid) -> Grid:
        """The grid of what comes out."""
        return Grid(grid.t, grid.h // self.side.height, grid.w // self.side.width)
