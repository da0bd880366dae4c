"""What YAML may say of mixers that follow the delta rule."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, FiniteFloat, PositiveFloat, model_validator

from triptych.parts.attention_spec import Heads
from triptych.parts.mamba_spec import Taps
from triptych.spec.base import Activation, PartSpec, Width


class GatedDeltaSpec(PartSpec):
    """`value_heads` with a state [key_dim, value_dim] each, in which a key's value is replaced; keys are shared evenly.

    `activation` follows a convolution over `conv` rows. How much is replaced is a sigmoid, times `replaced`: above one
    it may change its sign. `eps` is of the norm beside the gate.
    """

    builds: ClassVar[str | type] = "triptych.parts.gated_delta:GatedDelta"
    recurrent: ClassVar[bool] = True
    key_heads: Heads
    value_heads: Heads
    key_dim: Width
    value_dim: Width
    conv: Taps
    eps: FiniteFloat = Field(ge=0)
    activation: Activation = "silu"
    replaced: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.value_heads % self.key_heads:
            raise ValueError(f"{self.value_heads} value heads cannot share {self.key_heads} keys evenly")
        return self


class KdaSpec(PartSpec):
    """As `gated_delta`, where each number of a key fades by itself.

    What fades and what the gate lets through come of matrices of that `rank`, or of whole ones. The log of what stays
    lies above the `floor`, where there is one (Ling 3's `kda_lower_bound`).
    """

    builds: ClassVar[str | type] = "triptych.parts.kda:Kda"
    recurrent: ClassVar[bool] = True
    heads: Heads
    head_dim: Width
    conv: Taps
    eps: FiniteFloat = Field(ge=0)
    activation: Activation = "silu"
    rank: Width | None = None
    floor: FiniteFloat | None = Field(default=None, lt=0)
