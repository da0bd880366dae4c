"""What YAML may say of feed-forward mixers."""

from __future__ import annotations

from typing import ClassVar

from triptych.spec.base import Activation, PartSpec, Width


class GatedMlpSpec(PartSpec):
    builds: ClassVar[str | type] = "triptych.parts.mlp:GatedMlp"
    hidden: Width
    activation: Activation
    bias: bool = False


class MlpSpec(PartSpec):
    builds: ClassVar[str | type] = "triptych.parts.mlp:Mlp"
    hidden: Width
    activation: Activation
    bias: bool = True
