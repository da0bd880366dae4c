"""What YAML may say of selective state spaces."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, FiniteFloat, NonNegativeFloat, PositiveInt, model_validator

from triptych.parts.attention_spec import Heads
from triptych.spec.base import Activation, BaseSpec, Norm, PartSpec, Width


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


class StepsSpec(BaseSpec):
    """What steps are kept within."""

    min: Limit = 0.0
    max: Limit | None = None


class Mamba2OutSpec(BaseSpec):
    """The norm beside the gate has `eps`, and there is none without; it comes after the gate unless `norm_first`.

    The `bias` of the last matrix is as the first's unless given.
    """

    eps: FiniteFloat | None = Field(default=None, ge=0)
    norm_first: bool = False
    bias: bool | None = None


class Mamba2Spec(PartSpec):
    """`heads` of width `head_dim`, a state of `state` numbers a channel; `groups` of heads read and write alike.

    `dt` says what steps are kept within, `out` what becomes of what heads give. `scales` are of what the input is made
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
    conv_bias: bool = True
    activation: Activation = "silu"
    dt: StepsSpec = StepsSpec()
    scales: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    out: Mamba2OutSpec = Mamba2OutSpec()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.heads % self.groups:
            raise ValueError(f"{self.heads} heads do not fall into {self.groups} groups evenly")
        return self
