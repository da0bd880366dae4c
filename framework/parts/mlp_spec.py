"""What YAML may say of feed-forward mixers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import FiniteFloat, PositiveFloat

from triptych.spec.base import Activation, PartSpec, Width


class GatedMlpSpec(PartSpec):
    """`gate_scale` is of what goes through the activation; what that gives is at most `limit`, the other within."""

    builds: ClassVar[str | type] = "triptych.parts.mlp:GatedMlp"
    hidden: Width
    activation: Activation
    bias: bool = False
    gate_scale: FiniteFloat = 1.0
    limit: PositiveFloat | None = None


class LinearSpec(PartSpec):
    """A matrix alone."""

    builds: ClassVar[str | type] = "triptych.parts.mlp:LinearMixer"
    bias: bool = False


class MlpSpec(PartSpec):
    builds: ClassVar[str | type] = "triptych.parts.mlp:Mlp"
    hidden: Width
    activation: Activation
    bias: bool = True
