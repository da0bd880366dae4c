"""What YAML may say of the step that joins neighbouring rows into one, and what it makes of a grid. No torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from triptych.parts.grid import Grid
from triptych.spec.base import PartSpec


class MergeSpec(PartSpec):
    """`side` x `side` neighbours become one row, side by side in its width. What is over at an edge is left out.

    `inner` runs fastest in a row: the numbers of one place, or the places of one number. `blocks`: the rows come block
    by block already.
    """

    builds: ClassVar[str | type] = "triptych.parts.merge:Merge"
    side: PositiveInt = Field(le=2**6)
    inner: Literal["channel", "place"] = "channel"
    blocks: bool = False

    def after(self, grid: Grid) -> Grid:
        """The grid of what comes out."""
        return Grid(grid.t, grid.h // self.side, grid.w // self.side)
