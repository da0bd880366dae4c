"""What YAML may say of Kimi delta attention."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, FiniteFloat

from triptych.parts.attention_spec import Heads
from triptych.parts.mamba_spec import Taps
from triptych.spec.base import Activation, PartSpec, Width


class KdaSpec(PartSpec):
    """As `gated_delta`, where each number of a key fades by itself.

    What fades and what the gate lets through come of matrices of that `rank`, or of whole ones. The log of what stays
    lies above the `floor`, where there is one (Ling 3's `kda_lower_bound`).
    """

    builds: ClassVar[str | type] = "triptych.contrib_models.kimi_linear:Kda"
    recurrent: ClassVar[bool] = True
    heads: Heads
    head_dim: Width
    conv: Taps
    eps: FiniteFloat = Field(ge=0)
    activation: Activation = "silu"
    rank: Width | None = None
    floor: FiniteFloat | None = Field(default=None, lt=0)
