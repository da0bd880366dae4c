"""What YAML may say of the embedding of image patches."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from triptych.spec.base import Norm, PartSpec, Table

Pixels = Annotated[PositiveInt, Field(le=2**12)]  # of a patch; also channels


class PatchesSpec(PartSpec):
    """Patches of `size` x `size` pixels through one matrix; with a class token, positions and a norm if asked for."""

    builds: ClassVar[str | type] = "triptych.parts.patches:Patches"
    size: Pixels
    channels: Pixels = 3
    bias: bool = False
    class_token: bool = False
    table: Table | None = None
    norm: Norm | None = None
