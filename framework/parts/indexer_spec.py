"""What YAML may say of latent attention to rows that an indexer chooses."""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt, model_validator

from triptych.parts.attention_spec import Heads
from triptych.parts.mla_spec import MlaSpec
from triptych.spec.base import BaseSpec, Norm, Position, Width


class IndexerSpec(BaseSpec):
    """The `k` rows that score best, by `heads` of `head_dim` channels: queries of the latent, one key a row.

    Keys go through the `norm`; the `position` turns the first channels of both, as many as turn in attention itself.
    """

    heads: Heads
    head_dim: Width
    k: PositiveInt
    norm: Norm
    position: Position | None = None


class IndexedMlaSpec(MlaSpec):
    """Latent attention to those rows alone that its `indexer` chooses, which it `leaves` for later layers by a name."""

    builds: ClassVar[str | type] = "triptych.parts.indexed_mla:IndexedMla"
    indexer: IndexerSpec
    leaves: str | None = None

    @model_validator(mode="after")
    def _has_latent(self) -> IndexedMlaSpec:
        if self.latents.q is None:
            raise ValueError("an indexer's queries come of a latent, which `latents.q` makes")
        if self.indexer.head_dim < self.rope_dim:
            raise ValueError(f"{self.rope_dim} channels turn, of {self.indexer.head_dim} in a head of the indexer")
        return self


class FollowingMlaSpec(MlaSpec):
    """Latent attention to the rows that an earlier layer chose and `left` under that name."""

    builds: ClassVar[str | type] = "triptych.parts.indexed_mla:FollowingMla"
    crosses: ClassVar[bool] = True
    left: str
