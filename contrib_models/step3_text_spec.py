"""What YAML may say of attention whose queries come of a latent."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import PositiveInt, model_validator

from triptych.parts.attention_spec import Heads
from triptych.spec.base import Norm, PartSpec, Position, Width


class LatentQuerySpec(PartSpec):
    """Grouped-query attention with queries of a latent of `q_rank` channels, to which `norm` is done before its matrix.

    Keys and values are the rows' own. A row sees the `window` rows up to itself, else all.
    """

    builds: ClassVar[str | type] = "triptych.contrib_models.step3_text:LatentQuery"
    heads: Heads
    kv_heads: Heads
    head_dim: Width
    q_rank: Width
    norm: Norm
    position: Position | None = None
    window: PositiveInt | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} kv_heads evenly")
        if self.position:
            self.position.check_head_dim(self.head_dim)
        return self
