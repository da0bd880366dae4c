"""What YAML may say of experts that rows are routed to."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, PositiveInt, model_validator

from triptych.spec.base import Activation, PartSpec, Router, Width

Experts = Annotated[PositiveInt, Field(le=2**14)]


class TopKSpec(PartSpec):
    """The `k` experts with the largest shares, a softmax over all; `normalize` makes those of the chosen sum to one."""

    builds: ClassVar[str | type] = "triptych.parts.moe:TopK"
    k: Experts
    normalize: bool


class MoeSpec(PartSpec):
    """So many `experts`, each a gated MLP of width `hidden`, of which the `router` chooses some for each row."""

    builds: ClassVar[str | type] = "triptych.parts.moe:Moe"
    stacked: ClassVar[tuple[str, ...]] = ("gate_up", "down")
    experts: Experts
    hidden: Width
    activation: Activation
    router: Router

    @model_validator(mode="after")
    def _has_enough(self) -> Self:
        chosen = getattr(self.router, "k", 1)
        if chosen > self.experts:
            raise ValueError(f"a router that chooses {chosen} of {self.experts} experts")
        return self
