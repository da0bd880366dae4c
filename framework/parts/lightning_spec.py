"""What YAML may say of linear attention that fades at fixed rates."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, FiniteFloat, NonNegativeFloat, model_validator

from triptych.parts.attention_spec import Heads
from triptych.spec.base import Activation, BaseSpec, Norm, PartSpec, Position, Width


class LightningOutSpec(BaseSpec):
    """What heads give is normed in `groups`, with `eps`, beside a sigmoid of the gate.

    The `bias` of the last matrix is as the first's unless given.
    """

    eps: FiniteFloat = Field(ge=0)
    groups: Heads = 1
    bias: bool | None = None


class LightningSpec(PartSpec):
    """`heads` with a state [head_dim, head_dim] each, which fades row by row.

    Head h of H, from 1 on, fades at 2^(-8 h / H) times `fading`; of `slopes` as ALiBi has them, heads that are no power
    of two fade as it says.

    `activation` is of queries, keys and values; `qk_norm` and then `position` are of queries and keys, and `scale` of
    queries. `out` says what becomes of what heads give.
    """

    builds: ClassVar[str | type] = "triptych.parts.lightning:Lightning"
    recurrent: ClassVar[bool] = True
    heads: Heads
    head_dim: Width
    fading: NonNegativeFloat
    slopes: Literal["even", "alibi"] = "even"
    activation: Activation | None = None
    qk_norm: Norm | None = None
    position: Position | None = None
    scale: FiniteFloat = 1.0
    bias: bool = False
    out: LightningOutSpec

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.heads * self.head_dim % self.out.groups:
            raise ValueError(f"{self.heads} heads of {self.head_dim} do not fall into {self.out.groups} groups evenly")
        return self
