"""What YAML may say of tables of positions: a learned row for each place of a grid."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from triptych.parts.sides import Side, Sides
from triptych.spec.base import PartSpec


class LearnedSpec(PartSpec):
    """A learned row for each place of a grid of `side`, after `prefix` rows for what stands before it.

    `side` is height and width, or one number for both. Grids of another size are refused, or its rows are resampled to
    them; `antialias` takes in all that shrinking would pass over, with `corners` the outer places of both fall on each
    other.
    """

    builds: ClassVar[str | type] = "triptych.parts.tables:Learned"
    side: Sides
    prefix: NonNegativeInt = Field(0, le=2**12)
    resample: Literal["bicubic", "bilinear"] | None = None
    antialias: bool = False
    corners: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.antialias and self.resample is None:
            raise ValueError("antialias says how to resample, and `resample` is not given")
        if self.corners and (self.resample is None or self.antialias):
            raise ValueError("corners says how to resample without antialias; give `resample` alone beside it")
        return self


class BucketsSpec(PartSpec):
    """A learned row for each place of a square grid of `side`; a place of another grid takes the row that it falls on
    when both are laid over the same picture.
    """

    builds: ClassVar[str | type] = "triptych.parts.tables:Buckets"
    side: Side
