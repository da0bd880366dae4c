"""What YAML may say of the embedding of image patches and of its table of positions."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, NonNegativeInt

from triptych.spec.base import Norm, PartSpec, Table, Width


class LearnedSpec(PartSpec):
    """A learned row for each place of a square grid of `side`, after `prefix` rows for what stands before it."""

    builds: ClassVar[str | type] = "triptych.parts.patches:Learned"
    side: Width = Field(le=2**12)
    prefix: NonNegativeInt = Field(0, le=2**12)


class PatchesSpec(PartSpec):
    """Patches of `size` x `size` pixels through one matrix; with a class token, positions and a norm if asked for."""

    builds: ClassVar[str | type] = "triptych.parts.patches:Patches"
    size: Width
    channels: Width = 3
    bias: bool = False
    class_token: bool = False
    table: Table | None = None
    norm: Norm | None = None
