"""What YAML may say of the mixer that PLaMo 2 has between its layers of attention."""

from __future__ import annotations

from typing import ClassVar

from triptych.parts.attention_spec import Heads
from triptych.parts.mamba_spec import Taps
from triptych.spec.base import Activation, Norm, PartSpec, Width


class MambaByHeadSpec(PartSpec):
    """`heads` of width `head_dim`, a state of `state` numbers a channel, after a convolution over `conv` rows.

    What all heads write and read, and steps through `dt_rank` numbers, come of convolved rows; `norm` runs over each.
    """

    builds: ClassVar[str | type] = "triptych.contrib_models.plamo2:MambaByHead"
    recurrent: ClassVar[bool] = True
    heads: Heads
    head_dim: Width
    state: Width
    conv: Taps
    dt_rank: Width
    norm: Norm
    activation: Activation = "silu"
