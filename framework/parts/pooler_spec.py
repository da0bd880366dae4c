"""What YAML may say of a pooler."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from triptych.parts.projectors_spec import LinearStepSpec
from triptych.spec.base import Activation, PartSpec


class PoolerSpec(PartSpec):
    """How a pooler ends: `projector` are layers, each with a width and perhaps an activation of its own.

    `normalize` brings each row to length 1. With `labels` a last linear layer gives a number for each, which `chances`
    turns into chances.
    """

    per_token: ClassVar[bool] = False
    projector: tuple[LinearStepSpec, ...] = ()
    normalize: bool = False
    labels: PositiveInt | None = Field(None, le=2**20)
    bias: bool = False
    chances: Literal["softmax", "sigmoid", "none"] = "none"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.labels is None and (self.bias or self.chances != "none"):
            raise ValueError("`bias` and `chances` are of `labels`, which are not given")
        if self.labels is not None and self.normalize:
            raise ValueError("labels are not brought to length 1; leave `normalize` out")
        return self


class SequencePoolerSpec(PoolerSpec):
    """One row for each sequence: its `first` or `last`, or the `mean` or `max` of all its rows.

    `dense` names the activation of a linear layer after that, which has a bias and keeps the width; `projector` are
    further layers. `normalize` brings the row to length 1. With `labels` a last linear layer gives a number for each,
    which `chances` turns into chances.
    """

    builds: ClassVar[str | type] = "triptych.parts.pooler:SequencePooler"
    take: Literal["first", "last", "mean", "max"] = "last"
    dense: Activation | None = None


class TokenPoolerSpec(PoolerSpec):
    """One row for each token, of which `projector`, `normalize`, `labels` and `chances` make what they say.

    A projector that narrows rows of length 1 is what late interaction compares (Khattab and Zaharia 2020, "ColBERT",
    section 3.2).
    """

    builds: ClassVar[str | type] = "triptych.parts.pooler:TokenPooler"
    per_token: ClassVar[bool] = True
