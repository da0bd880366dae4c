"""What YAML may say of the head of a language model."""

from __future__ import annotations

from typing import ClassVar

from pydantic import FiniteFloat, PositiveFloat

from triptych.spec.base import PartSpec


class HeadSpec(PartSpec):
    """`tied`: the matrix is the embedding's. `softcap` c: logits become c tanh(logit / c)."""

    builds: ClassVar[str | type] = "triptych.parts.head:Head"
    tied: bool = False
    bias: bool = False
    scale: FiniteFloat = 1.0
    softcap: PositiveFloat | None = None
