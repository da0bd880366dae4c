"""What YAML may say of routers: which experts each row goes to, and with what shares."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from triptych.spec.base import BaseSpec, PartSpec

Experts = Annotated[PositiveInt, Field(le=2**14)]


class TopKSpec(PartSpec):
    """The `k` experts with the largest shares, a softmax over all; `normalize` makes those of the chosen sum to one.

    `softcap` bounds what the softmax is of.
    """

    builds: ClassVar[str | type] = "triptych.parts.routers:TopK"
    k: Experts
    normalize: bool
    bias: bool = False
    softcap: PositiveFloat | None = None


class ExpertGroups(BaseSpec):
    """So many groups of neighbours (`count`), of which the `best` few are looked at.

    A group scores what its best expert does, or its best two together.
    """

    count: Experts = 1
    best: Experts = 1
    score: Literal["best", "best two"] = "best two"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.best > self.count:
            raise ValueError(f"the best {self.best} of {self.count} groups")
        return self


class GroupedSpec(PartSpec):
    """The `k` experts that score best, out of the best of their `groups`; all in float32.

    `score` is of all experts, or of each by itself. The `correction` of each counts in the choice and not in the
    shares. `normalize` makes the shares of the chosen sum to one, of sums that are at least `least`; `scale` multiplies
    them then. `softcap` bounds what the scores are of.
    """

    builds: ClassVar[str | type] = "triptych.parts.routers:Grouped"
    k: Experts
    normalize: bool
    score: Literal["softmax", "sigmoid"] = "sigmoid"
    correction: bool = True
    bias: bool = False
    groups: ExpertGroups = ExpertGroups()
    scale: PositiveFloat = 1.0
    least: NonNegativeFloat = 1e-20
    softcap: PositiveFloat | None = None
