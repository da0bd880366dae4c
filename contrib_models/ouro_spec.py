"""What YAML may say of leaving a stack that is gone through several times."""

from __future__ import annotations

from typing import ClassVar

from pydantic import FiniteFloat, NonNegativeInt, PositiveInt

from triptych.spec.base import PartSpec


class LoopExitSpec(PartSpec):
    """Of each row, what it is after the first of the `loops` by which it has left with a chance of `threshold`.

    A gate gives the chance to leave after each loop; after the last all have. `step` is the number of one loop, from 0
    on, after which all rows leave whatever the gate says. Without either they leave after the last.
    """

    builds: ClassVar[str | type] = "triptych.contrib_models.ouro:LoopExit"
    crosses: ClassVar[bool] = True
    replaces: ClassVar[bool] = True
    loops: PositiveInt
    threshold: FiniteFloat | None = None
    step: NonNegativeInt | None = None
