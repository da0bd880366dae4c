"""What YAML may say of the steps of a projector."""

from __future__ import annotations

from typing import ClassVar, Literal

from triptych.spec.base import Activation, Norm, PartSpec, Width


class LinearStepSpec(PartSpec):
    """`out` is the width of the language model unless given."""

    builds: ClassVar[str | type] = "triptych.parts.projectors:LinearStep"
    out: Width | None = None
    bias: bool = True
    activation: Activation | None = None


class MlpStepSpec(PartSpec):
    """`out` is the width of the language model unless given; `hidden` a width, or that of what goes in or comes out."""

    builds: ClassVar[str | type] = "triptych.parts.projectors:MlpStep"
    out: Width | None = None
    hidden: Width | Literal["in", "out"] = "out"
    activation: Activation = "gelu"
    bias: bool = True


class BranchStepSpec(PartSpec):
    """A row and what an MLP of `hidden` makes of its `norm`, summed."""

    builds: ClassVar[str | type] = "triptych.parts.projectors:BranchStep"
    norm: Norm
    hidden: Width
    activation: Activation
    bias: bool = True


class GateStepSpec(PartSpec):
    """The first half of a row times the activation of the other."""

    builds: ClassVar[str | type] = "triptych.parts.projectors:GateStep"
    activation: Activation = "silu"
