"""What YAML may say of embeddings that every layer has its own of."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt

from triptych.parts.embed_spec import MAX_ROWS, TokensSpec
from triptych.spec.base import MAX_WIDTH, Activation, BaseSpec, Norm, PartSpec, Width


class LayerInputsSpec(BaseSpec):
    """Of each token each of so many layers (`count`) has `size` numbers, out of a table of `rows`, times `scale`.

    Those are added to what a matrix and a `norm` make of the row that enters the model, and the sum is divided by the
    root of two. A token past the table has its first row. Where the `size` is nought, there is none of this.
    """

    count: PositiveInt
    size: NonNegativeInt = Field(le=MAX_WIDTH)
    rows: PositiveInt = Field(le=MAX_ROWS)
    scale: FiniteFloat = 1.0
    norm: Norm


class PerLayerTokensSpec(TokensSpec):
    """Tokens, which `layers` have inputs of their own of."""

    builds: ClassVar[str | type] = "triptych.parts.per_layer:PerLayerTokens"
    layers: LayerInputsSpec


class PerLayerGateSpec(PartSpec):
    """out(act(gate(x)) * what the embedding left for `layer`), which has `size` numbers."""

    builds: ClassVar[str | type] = "triptych.parts.per_layer:PerLayerGate"
    crosses: ClassVar[bool] = True
    layer: NonNegativeInt
    size: Width
    activation: Activation
