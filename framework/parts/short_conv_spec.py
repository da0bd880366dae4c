"""What YAML may say of a gated short convolution."""

from __future__ import annotations

from typing import ClassVar

from triptych.parts.mamba_spec import Taps
from triptych.spec.base import PartSpec


class ShortConvSpec(PartSpec):
    """A convolution over `conv` rows, between two gates; `bias` of all its matrices."""

    builds: ClassVar[str | type] = "triptych.parts.short_conv:ShortConv"
    recurrent: ClassVar[bool] = True
    conv: Taps
    bias: bool = False
