"""What YAML may say of transformer blocks that several layers share."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, NonNegativeInt, PositiveInt

from triptych.parts.attention_spec import Heads
from triptych.parts.embed_spec import TokensSpec
from triptych.spec.base import Activation, Mixer, Norm, PartSpec, Position, Width


def _numbered(value: object) -> object:
    """The numbers of the layers that are called hybrid, where a word stands for each layer."""
    if isinstance(value, (list, tuple)) and any(isinstance(kind, str) for kind in value):
        return tuple(number for number, kind in enumerate(value) if kind == "hybrid")
    return value


class SharedAttentionSpec(PartSpec):
    """Grouped-query attention whose queries, keys and values come of a row beside the one that entered the model."""

    builds: ClassVar[str | type] = "triptych.contrib_models.zamba2:SharedAttention"
    heads: Heads
    kv_heads: Heads
    head_dim: Width
    position: Position | None = None


class SharedMlpSpec(PartSpec):
    """A gated MLP of width `hidden`; `bias` is of both its matrices."""

    builds: ClassVar[str | type] = "triptych.contrib_models.zamba2:SharedMlp"
    hidden: Width
    activation: Activation
    bias: bool = False


class AdaptersSpec(PartSpec):
    """What each use of a block adds of its own: matrices of low `rank`, to the MLP's first.

    With `attention` to those of queries, keys and values too.
    """

    builds: ClassVar[str | type] = "triptych.contrib_models.zamba2:Adapters"
    rank: Width
    attention: bool = False


class SharedBlockSpec(PartSpec):
    """A transformer block: a `norm` before `attention` and one before `mlp`; uses of it differ by their `adapters`."""

    builds: ClassVar[str | type] = "triptych.contrib_models.zamba2:SharedBlock"
    norm: Norm
    attention: SharedAttentionSpec
    mlp: SharedMlpSpec
    adapters: AdaptersSpec


class SharedBlocksSpec(TokensSpec):
    """Tokens, beside which stand `blocks` like the one said, which the `users` among `layers` have in turn."""

    builds: ClassVar[str | type] = "triptych.contrib_models.zamba2:SharedBlocks"
    block: SharedBlockSpec
    blocks: PositiveInt
    layers: PositiveInt
    users: Annotated[tuple[NonNegativeInt, ...], BeforeValidator(_numbered)]


class SharedThenMixerSpec(PartSpec):
    """mixer(norm(x + linear(y))), where y is what the shared block of this `layer` makes of x."""

    builds: ClassVar[str | type] = "triptych.contrib_models.zamba2:SharedThenMixer"
    crosses: ClassVar[bool] = True
    layer: NonNegativeInt
    heads: Heads
    kv_heads: Heads
    head_dim: Width
    norm: Norm
    mixer: Mixer
