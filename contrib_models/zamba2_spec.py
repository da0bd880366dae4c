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


class SharedBlocksSpec(TokensSpec):
    """Tokens, beside which stand so many transformer `blocks`, which the `users` among `layers` have in turn.

    Attention sees a row beside the one that entered the model. Each use of a block has matrices of low `rank`
    of its own, for the MLP and, with `adapt_attention`, for queries, keys and values. `bias` is of the MLP.
    """

    builds: ClassVar[str | type] = "triptych.contrib_models.zamba2:SharedBlocks"
    blocks: PositiveInt
    layers: PositiveInt
    users: Annotated[tuple[NonNegativeInt, ...], BeforeValidator(_numbered)]
    heads: Heads
    kv_heads: Heads
    head_dim: Width
    hidden: Width
    activation: Activation
    bias: bool = False
    rank: Width
    adapt_attention: bool = False
    position: Position | None = None
    block_norm: Norm


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
