"""What YAML may say of queries that grow with their position."""

from __future__ import annotations

from typing import ClassVar

from pydantic import FiniteFloat, NonNegativeInt, PositiveInt

from triptych.spec.base import PositionSpec


class LogScaleSpec(PositionSpec):
    """By `beta` times the logarithm of how often `length` fits in a position; these count from `first`."""

    builds: ClassVar[str | type] = "triptych.parts.log_scale:LogScale"
    beta: FiniteFloat
    length: PositiveInt
    first: NonNegativeInt = 0
