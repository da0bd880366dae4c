"""What YAML may say of a pooler."""

from __future__ import annotations

from typing import ClassVar, Literal

from triptych.spec.base import Activation, PartSpec


class SequencePoolerSpec(PartSpec):
    """One row for each sequence: its `first` or `last`, or the `mean` or `max` of all its rows.

    `dense` names the activation of a linear layer after that, which has a bias; `normalize` brings the row to length 1.
    """

    builds: ClassVar[str | type] = "triptych.parts.pooler:SequencePooler"
    take: Literal["first", "last", "mean", "max"] = "last"
    dense: Activation | None = None
    normalize: bool = False
