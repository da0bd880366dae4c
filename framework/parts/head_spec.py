"""What YAML may say of the head of a language model."""

from __future__ import annotations

from typing import ClassVar

from pydantic import FiniteFloat, PositiveFloat

from triptych.spec.base import PartSpec, Width


class HeadSpec(PartSpec):
    """`tied`: the matrix is the embedding's. `inner`: rows are brought to that width first, for a matrix as wide.

    `softcap` c: logits become c tanh(logit / c).
    """

    builds: ClassVar[str | type] = "triptych.parts.head:Head"
    tied: bool = False
    bias: bool = False
    inner: Width | None = None
    scale: FiniteFloat = 1.0
    softcap: PositiveFloat | None = None
