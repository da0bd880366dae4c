"""What YAML may say of the step that brings every picture to the same number of rows. No torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveInt

from triptych.parts.attention_spec import Heads
from triptych.parts.grid import Grid, pictures_of
from triptych.spec.base import Norm, PartSpec


class ResamplerSpec(PartSpec):
    """As many learned `queries` look at the rows of each picture, and are its rows from there on.

    Keys know where they stand by sines and cosines of their column and line; without `places` they do not. `norm` is
    that of the queries; the norms of what goes in and comes out, and the matrices before and after, are other steps.
    """

    builds: ClassVar[str | type] = "triptych.parts.resampler:Resampler"
    queries: PositiveInt = Field(le=2**14)
    heads: Heads
    norm: Norm | None = None
    places: bool = True

    def after(self, grid: Grid) -> Grid:
        """The grid of what comes out: a line for each picture."""
        return Grid(len(pictures_of(grid)), 1, self.queries)
