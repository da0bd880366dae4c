"""What YAML may say of norms."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, FiniteFloat

from triptych.spec.base import PartSpec


class RmsNormSpec(PartSpec):
    """`offset` is added to the weight (Gemma keeps weight - 1).

    Without `weight` rows are normed and no more.

    `cast`: back to the dtype of the rows before the weight is applied, as Llama does, or after it, as Gemma and Olmo 2.
    """

    builds: ClassVar[str | type] = "triptych.parts.norms:RmsNorm"
    eps: FiniteFloat = Field(ge=0)
    offset: FiniteFloat = 0.0
    cast: Literal["before", "after"] = "before"
    weight: bool = True


class LayerNormSpec(PartSpec):
    builds: ClassVar[str | type] = "triptych.parts.norms:LayerNorm"
    eps: FiniteFloat = Field(ge=0)
    bias: bool = True


class GainSpec(PartSpec):
    """Not a norm: a learned weight alone, which stands where a norm may."""

    builds: ClassVar[str | type] = "triptych.parts.norms:Gain"
