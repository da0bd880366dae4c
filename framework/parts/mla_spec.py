"""What YAML may say of multi-head latent attention."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import FiniteFloat, PositiveFloat, model_validator

from triptych.parts.attention_spec import Heads
from triptych.spec.base import Norm, PartSpec, Position, Width


class MlaSpec(PartSpec):
    """Attention whose keys and values come of one latent of `kv_rank` channels, beside a key that is turned.

    A head's queries and keys have `nope_dim` channels that do not turn and `rope_dim` that do, its values `value_dim`.
    Queries come of a latent of `q_rank` channels, or of the rows themselves; the `norm` is that of the latents. `bias`
    is of the matrices that give latents and of the last one. `q_scale` and `kv_scale` are factors on queries and on the
    latent of keys and values; `q_position` is what positions do to queries alone. `scale` is (nope_dim + rope_dim) **
    -0.5 unless given; what a stretched position says of scores (`mscale_all_dim`) comes to it. With
    a `gate`, what each head gives is times the sigmoid of a number of the row.
    """

    builds: ClassVar[str | type] = "triptych.parts.mla:Mla"
    heads: Heads
    kv_rank: Width
    nope_dim: Width
    rope_dim: Width
    value_dim: Width
    norm: Norm
    q_rank: Width | None = None
    position: Position | None = None
    q_position: Position | None = None
    bias: bool = False
    scale: FiniteFloat | None = None
    q_scale: PositiveFloat = 1.0
    kv_scale: PositiveFloat = 1.0
    gate: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.position:
            self.position.check_head_dim(self.rope_dim)
        return self
