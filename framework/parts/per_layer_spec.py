"""What YAML may say of embeddings that every layer has its own of."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt

from triptych.parts.embed_spec import MAX_ROWS, TokensSpec
from triptych.spec.base import MAX_WIDTH, Activation, Norm, PartSpec, Width


class PerLayerTokensSpec(TokensSpec):
    """Tokens, of which each of `layers` has `size` numbers more, out of a table of `inputs` rows, times `input_scale`.

    Those are added to what a matrix and a norm make of the row that enters the model, and the sum is divided by the
    root of two. A token past the table has its first row. Where the `size` is nought, there is none of this.
    """

    builds: ClassVar[str | type] = "triptych.parts.per_layer:PerLayerTokens"
    layers: PositiveInt
    size: NonNegativeInt = Field(le=MAX_WIDTH)
    inputs: PositiveInt = Field(le=MAX_ROWS)
    input_scale: FiniteFloat = 1.0
    input_norm: Norm


class PerLayerGateSpec(PartSpec):
    """out(act(gate(x)) * what the embedding left for `layer`), which has `size` numbers."""

    builds: ClassVar[str | type] = "triptych.parts.per_layer:PerLayerGate"
    crosses: ClassVar[bool] = True
    layer: NonNegativeInt
    size: Width
    activation: Activation
