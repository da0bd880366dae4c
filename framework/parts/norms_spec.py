"""What YAML may say of norms."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, FiniteFloat

from triptych.spec.base import PartSpec, Width


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
    """`offset` is added to the weight (Nemotron keeps weight - 1). `affine: false`: neither weight nor bias."""

    builds: ClassVar[str | type] = "triptych.parts.norms:LayerNorm"
    eps: FiniteFloat = Field(ge=0)
    bias: bool = True
    offset: FiniteFloat = 0.0
    affine: bool = True


class LayerNormByHeadSpec(PartSpec):
    """Rows of heads side by side, each of `head_dim` and with a weight of its own: for queries and keys.

    On disk the weights of the heads may stand one by one.
    """

    builds: ClassVar[str | type] = "triptych.parts.norms:LayerNormByHead"
    stacked: ClassVar[tuple[str, ...]] = ("weight",)
    eps: FiniteFloat = Field(ge=0)
    head_dim: Width


class RmsNormByHeadSpec(PartSpec):
    """Heads of `head_dim` side by side, each over its root mean square and with a weight of its own.

    For queries and keys. On disk the weights of the heads may stand one by one.
    """

    builds: ClassVar[str | type] = "triptych.parts.norms:RmsNormByHead"
    stacked: ClassVar[tuple[str, ...]] = ("weight",)
    eps: FiniteFloat = Field(ge=0)
    head_dim: Width


class TimesSpec(PartSpec):
    """Not a norm: one number `by` which rows are multiplied, which stands where a norm may."""

    builds: ClassVar[str | type] = "triptych.parts.norms:Times"
    by: FiniteFloat


class GainSpec(PartSpec):
    """Not a norm: a learned weight alone, which stands where a norm may, or `one` for all numbers of a row."""

    builds: ClassVar[str | type] = "triptych.parts.norms:Gain"
    one: bool = False
