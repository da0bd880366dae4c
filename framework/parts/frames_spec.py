"""What YAML may say of the embedding of audio frames."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar, Self

from pydantic import Field, PositiveInt, model_validator

from triptych.parts.grid import Grid
from triptych.spec.base import Activation, PartSpec, Width

Stride = Annotated[PositiveInt, Field(le=64)]


class FramesSpec(PartSpec):
    """Frames of `channels` numbers through two convolutions over 3 frames, each `strides` apart, then an activation.

    A stored row is added for each of `positions` places: an item has no more rows than that, unless it is heard in
    clips of `clip` frames, each by itself. Where it is `told` how many rows an item has, the rest of its frames are
    silence at its end, of which no rows are made.
    """

    builds: ClassVar[str | type] = "triptych.parts.frames:Frames"
    channels: Width
    positions: PositiveInt = Field(le=2**20)
    strides: tuple[Stride, Stride] = (1, 2)
    activation: Activation = "gelu"
    clip: PositiveInt | None = None
    told: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.told and self.clip is not None:
            raise ValueError("an item that is told has one clip; give `clip` or `told`")
        return self

    def rows(self, frames: int) -> int:
        """How many rows so many frames give."""
        for stride in self.strides:
            frames = (frames - 1) // stride + 1
        return frames

    def item_shape(self, grid: Grid) -> tuple[int, ...]:
        """The shape of an item's tensor that has no silence."""
        return self.channels, grid.rows * prod(self.strides)
