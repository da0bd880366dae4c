"""What YAML may say of a router that chooses two experts one after the other."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, FiniteFloat

from triptych.spec.base import PartSpec


class SparseMixerSpec(PartSpec):
    """Two experts for each row; the share of each is a softmax over those whose scores come near to its own.

    Near is within twice the `jitter`, as a part of the larger of the two.
    """

    builds: ClassVar[str | type] = "triptych.parts.sparse_mixer:SparseMixer"
    jitter: FiniteFloat = Field(ge=0)
