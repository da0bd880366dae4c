"""What YAML may say of attention to the rows of an earlier layer."""

from __future__ import annotations

from typing import ClassVar

from pydantic import FiniteFloat, PositiveInt

from triptych.parts.attention_spec import Heads
from triptych.spec.base import Norm, PartSpec, Position, Width


class BorrowedAttentionSpec(PartSpec):
    """Queries of its own, over the keys and values that the last layer `left` under that name.

    `scale` is head_dim ** -0.5 unless given; a row sees the `window` rows up to itself, else all.
    """

    builds: ClassVar[str | type] = "triptych.parts.borrowed_attention:BorrowedAttention"
    crosses: ClassVar[bool] = True
    left: str
    heads: Heads
    head_dim: Width
    bias: bool = False
    position: Position | None = None
    q_norm: Norm | None = None
    scale: FiniteFloat | None = None
    window: PositiveInt | None = None
    causal: ClassVar[bool] = True
