"""What YAML may say of multi-head latent attention."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import PositiveFloat, model_validator

from triptych.parts.attention_spec import Heads, ScaleSpec
from triptych.spec.base import BaseSpec, Norm, PartSpec, Position, Width


class LatentsSpec(BaseSpec):
    """`kv` channels that keys and values come of, and `q` that queries come of: without them, of the rows themselves.

    The `norm` is of both. `q_scale` and `kv_scale` are factors on queries and on the latent of keys and values.
    """

    kv: Width
    q: Width | None = None
    norm: Norm
    q_scale: PositiveFloat = 1.0
    kv_scale: PositiveFloat = 1.0


class MlaSpec(PartSpec):
    """Attention whose keys and values come of one of its `latents`, beside a key that is turned.

    A head's queries and keys have `nope_dim` channels that do not turn and `rope_dim` that do, its values `value_dim`.
    `bias` is of the matrices that give latents and of the last one. `scores` are times (nope_dim + rope_dim) ** -0.5
    unless they say otherwise; what a stretched position says of scores (`mscale_all_dim`) comes to it. With a `gate`,
    what each head gives is times the sigmoid of a number of the row.
    """

    builds: ClassVar[str | type] = "triptych.parts.mla:Mla"
    heads: Heads
    latents: LatentsSpec
    nope_dim: Width
    rope_dim: Width
    value_dim: Width
    bias: bool = False
    position: Position | None = None
    scores: ScaleSpec = ScaleSpec()
    gate: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.position:
            self.position.check_head_dim(self.rope_dim)
        return self
