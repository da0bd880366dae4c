"""What YAML may say of the embedding of patches that come as vectors."""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt

from triptych.parts.grid import Grid
from triptych.parts.patches_spec import Pixels
from triptych.spec.base import PartSpec, Table


class VectorsSpec(PartSpec):
    """Patches of `frames` x `size` x `size` pixels, which the processor has made vectors of, through one matrix.

    They come block by block, `merge` x `merge` neighbours one after the other; the rows of a table are put so too.
    """

    builds: ClassVar[str | type] = "triptych.parts.vectors:Vectors"
    size: Pixels
    frames: Pixels = 1
    channels: Pixels = 3
    merge: PositiveInt = 1
    bias: bool = False
    table: Table | None = None

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        return self.channels * self.frames * self.size**2

    def item_shape(self, grid: Grid) -> tuple[int, ...]:
        """The shape of an item's tensor."""
        return grid.rows, self.width
