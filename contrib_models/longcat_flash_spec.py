"""What YAML may say of layers whose experts work beside most of what else is in them."""

from __future__ import annotations

from typing import ClassVar

from triptych.spec.base import Mixer, Norm, PartSpec


class ShortcutExpertsSpec(PartSpec):
    """A whole layer: `attention` and `mlp` twice over, each after a `norm`, and `experts` once.

    These see the rows that the first MLP sees, and what they give is added last.
    """

    builds: ClassVar[str | type] = "triptych.contrib_models.longcat_flash:ShortcutExperts"
    replaces: ClassVar[bool] = True
    norm: Norm
    attention: Mixer
    mlp: Mixer
    experts: Mixer
