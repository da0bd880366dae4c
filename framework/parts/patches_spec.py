"""What YAML may say of the embedding of image patches."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from triptych.parts.sides import Sides
from triptych.spec.base import Norm, PartSpec, Table

Pixels = Annotated[PositiveInt, Field(le=2**12)]  # of a patch; also channels


class PatchesSpec(PartSpec):
    """Patches of `size` pixels through one matrix; with a class token, positions and a norm if asked for.

    `size` is height and width, or one number for both.
    """

    builds: ClassVar[str | type] = "triptych.parts.patches:Patches"
    size: Sides
    channels: Pixels = 3
    bias: bool = False
    class_token: bool = False
    table: Table | None = None
    norm: Norm | None = None
