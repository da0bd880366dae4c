"""What YAML may say of layers that work on one of several streams of rows."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, model_validator

from triptych.parts.per_layer_spec import PerLayerTokensSpec
from triptych.spec.base import Activation, Mixer, Norm, PartSpec, Width


class StreamTokensSpec(PerLayerTokensSpec):
    """Tokens with inputs of layers, which enter the model as so many `streams`: as they are, and through matrices."""

    builds: ClassVar[str | type] = "triptych.contrib_models.gemma3n:StreamTokens"
    stacked: ClassVar[tuple[str, ...]] = ("streams",)
    streams: PositiveInt = Field(ge=2, le=64)


class AltUpSpec(PartSpec):
    """A whole layer: `attention` and `mlp` on the stream `active` of all, beside a matrix of low `rank`.

    What comes of it, `scaled` or not, goes through `gate` into the other streams.
    """

    builds: ClassVar[str | type] = "triptych.contrib_models.gemma3n:AltUp"
    crosses: ClassVar[bool] = True
    replaces: ClassVar[bool] = True
    streams: PositiveInt = Field(ge=2, le=64)
    active: NonNegativeInt = 0
    rank: Width
    scaled: bool = True
    norm: Norm
    attention: Mixer
    mlp: Mixer
    gate: Mixer

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.active >= self.streams:
            raise ValueError(f"there is no stream {self.active} of {self.streams}")
        return self


class StreamsMeanSpec(PartSpec):
    """The mean of all `streams`, of which all but the first go through matrices."""

    builds: ClassVar[str | type] = "triptych.contrib_models.gemma3n:StreamsMean"
    stacked: ClassVar[tuple[str, ...]] = ("streams",)
    crosses: ClassVar[bool] = True
    replaces: ClassVar[bool] = True
    streams: PositiveInt = Field(ge=2, le=64)


class SparseMlpSpec(PartSpec):
    """A gated MLP in which the gates of a row that are not among its largest are noughts: a share `sparsity` of them,

    by their mean and deviation.
    """

    builds: ClassVar[str | type] = "triptych.contrib_models.gemma3n:SparseMlp"
    hidden: Width
    activation: Activation
    sparsity: FiniteFloat = Field(gt=0, lt=1)
