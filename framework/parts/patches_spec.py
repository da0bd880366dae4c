"""What YAML may say of the embedding of image patches and of its table of positions."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt

from triptych.spec.base import Norm, PartSpec, Table

Pixels = Annotated[PositiveInt, Field(le=2**12)]  # of a patch; also patches along a side, and channels


class LearnedSpec(PartSpec):
    """A learned row for each place of a square grid of `side`, after `prefix` rows for what stands before it."""

    builds: ClassVar[str | type] = "triptych.parts.patches:Learned"
    side: Pixels
    prefix: NonNegativeInt = Field(0, le=2**12)


class PatchesSpec(PartSpec):
    """Patches of `size` x `size` pixels through one matrix; with a class token, positions and a norm if asked for."""

    builds: ClassVar[str | type] = "triptych.parts.patches:Patches"
    size: Pixels
    channels: Pixels = 3
    bias: bool = False
    class_token: bool = False
    table: Table | None = None
    norm: Norm | None = None
