"""What YAML may say of the gated delta net."""

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
