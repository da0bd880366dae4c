"""What YAML may say of attention to rows beside the sequence."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, FiniteFloat, PositiveInt, model_validator

from triptych.parts.attention_spec import Heads
from triptych.spec.base import PartSpec, Width


class CrossAttentionSpec(PartSpec):
    """Every row looks at all rows of a `source`, what the tower of that name makes of an item: at most `rows` of it.

    `scale` is head_dim ** -0.5 unless given.
    """

    builds: ClassVar[str | type] = "triptych.parts.cross_attention:CrossAttention"
    source: str
    rows: PositiveInt = Field(le=2**20)
    heads: Heads
    kv_heads: Heads
    head_dim: Width
    bias: bool = False
    scale: FiniteFloat | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} kv_heads evenly")
        return self
