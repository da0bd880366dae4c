"""What YAML may say of the embedding of audio frames."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from triptych.spec.base import Activation, PartSpec, Width

Stride = Annotated[PositiveInt, Field(le=64)]


class FramesSpec(PartSpec):
    """Frames of `channels` numbers through two convolutions over 3 frames, each `strides` apart, then an activation.

    A stored row is added for each of `positions` places: an item has no more rows than that.
    """

    builds: ClassVar[str | type] = "triptych.parts.frames:Frames"
    channels: Width
    positions: PositiveInt = Field(le=2**20)
    strides: tuple[Stride, Stride] = (1, 2)
    activation: Activation = "gelu"

    def rows(self, frames: int) -> int:
        """How many rows so many frames give."""
        for stride in self.strides:
            frames = (frames - 1) // stride + 1
        return frames
