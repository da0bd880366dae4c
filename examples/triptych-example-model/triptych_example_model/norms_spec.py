"""What YAML may say of the norm `mean_abs`. Validation reads this module, so it imports no torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, FiniteFloat

from triptych.spec.base import PartSpec


class MeanAbsSpec(PartSpec):
    """`eps` is added to the mean, so that a row of zeros stays one."""

    builds: ClassVar[str | type] = "triptych_example_model.norms:MeanAbs"
    eps: FiniteFloat = Field(default=1e-6, gt=0)
