"""What YAML may say of selective state spaces."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, FiniteFloat, NonNegativeFloat, PositiveInt, model_validator

from triptych.parts.attention_spec import Heads
from triptych.spec.base import Activation, Norm, PartSpec, Width


def _limit(value: object) -> object:
    """JSON has no infinity, and transformers writes a mapping for it."""
    return float(value["__float__"]) if isinstance(value, dict) and set(value) == {"__float__"} else value


Limit = Annotated[NonNegativeFloat, BeforeValidator(_limit)]
Taps = Annotated[PositiveInt, Field(le=2**10)]


class MambaSpec(PartSpec):
    """`inner` channels, each with a state of `state` numbers, after a convolution over `conv` rows.

    Steps come through `dt_rank` numbers. `norm` runs over these, and over what a row writes and reads (Jamba).
    `activation` follows the convolution.
    """

    builds: ClassVar[str | type] = "triptych.parts.mamba:Mamba"
    recurrent: ClassVar[bool] = True
    inner: Width
    state: Width
    conv: Taps
    dt_rank: Width
    bias: bool = False
    conv_bias: bool = True
    activation: Activation = "silu"
    norm: Norm | None = None


class Mamba2Spec(PartSpec):
    """`heads` of width `head_dim`, a state of `state` numbers a channel; `groups` of heads read and write alike.

    Steps are kept within `dt_min` and `dt_max`. The norm beside the gate has `eps`, and there is none without; it comes
    after the gate unless `norm_first`. `out_bias` is as `bias` unless given. `scales` are of what the input is made
    into: gate, rows, what is written and read, steps.
    """

    builds: ClassVar[str | type] = "triptych.parts.mamba2:Mamba2"
    recurrent: ClassVar[bool] = True
    heads: Heads
    head_dim: Width
    state: Width
    groups: Heads
    conv: Taps
    bias: bool = False
    out_bias: bool | None = None
    conv_bias: bool = True
    activation: Activation = "silu"
    eps: FiniteFloat | None = Field(default=None, ge=0)
    norm_first: bool = False
    dt_min: Limit = 0.0
    dt_max: Limit | None = None
    scales: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.heads % self.groups:
            raise ValueError(f"{self.heads} heads do not fall into {self.groups} groups evenly")
        return self
