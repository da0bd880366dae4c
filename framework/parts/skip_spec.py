"""What YAML may say of rows that skip layers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import FiniteFloat

from triptych.spec.base import PartSpec


class SkipSpec(PartSpec):
    """`keep`: the rows that enter are kept under the name of the `slot`, for a later layer.

    `recall`: a `share` of them becomes the rows that the slot has.
    """

    builds: ClassVar[str | type] = "triptych.parts.skip:Skip"
    crosses: ClassVar[bool] = True
    slot: str
    keep: bool = False
    recall: bool = False
    share: FiniteFloat = 1.0
