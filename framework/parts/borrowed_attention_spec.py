"""What YAML may say of attention to the rows of an earlier layer."""

from __future__ import annotations

from typing import ClassVar

from triptych.parts.attention_spec import Heads, KeepingReach, ReachSpec, ScaleSpec
from triptych.spec.base import Norm, PartSpec, Position, Width


class BorrowedAttentionSpec(PartSpec):
    """Queries of its own, over the keys and values that the last layer `left` under that name.

    `scores` are times head_dim ** -0.5 unless they say otherwise, a row's `reach` is all rows up to itself.
    """

    builds: ClassVar[str | type] = "triptych.parts.borrowed_attention:BorrowedAttention"
    crosses: ClassVar[bool] = True
    left: str
    heads: Heads
    head_dim: Width
    bias: bool = False
    position: Position | None = None
    q_norm: Norm | None = None
    scores: ScaleSpec = ScaleSpec()
    reach: KeepingReach = ReachSpec()
    causal: ClassVar[bool] = True
