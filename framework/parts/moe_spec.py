"""What YAML may say of experts that rows are routed to."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import NonNegativeInt, PositiveFloat, model_validator

from triptych.parts.routers_spec import ExpertGroups, Experts
from triptych.spec.base import Activation, BaseSpec, Mixer, Norm, OrPart, PartSpec, Router, Width


class ClampSpec(BaseSpec):
    """What goes through the activation gives at most `limit`, and the other is within, as in a gated MLP.

    With `alpha` it is (up + 1) * gate * sigmoid(alpha * gate), no gate above `limit` and each up within it: as gpt-oss
    has it.
    """

    limit: PositiveFloat | None = None
    alpha: PositiveFloat | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.alpha and not self.limit:
            raise ValueError("`alpha` goes with a `limit`")
        return self


class SharedSpec(BaseSpec):
    """The `mixer` that every row goes through; with a `gate`, times the sigmoid of a number for each row."""

    mixer: Mixer
    gate: bool = False


class InputsSpec(BaseSpec):
    """Experts are given rows through a `norm`, then of a `width` of their own: a matrix makes these, and another takes

    what experts give back; `bias` is of both. With `weighed` shares weigh what experts are given, else what they give.
    """

    norm: Norm | None = None
    width: Width | None = None
    bias: bool = False
    weighed: bool = False


class MoeSpec(PartSpec):
    """So many `experts`, each an MLP of width `hidden`, of which the `router` chooses some for each row.

    They are `gated`, by an activation, within what `clamp` says. Every row goes through what is `shared` too: a mixer,
    or a mapping that says more of it. `inputs` are what experts are given, and neither the router nor the shared mixer.
    So many more that are `idle` give back what they are given (LongCat-Flash, arXiv 2509.01322, section 2.1).
    """

    builds: ClassVar[str | type] = "triptych.parts.moe:Moe"
    stacked: ClassVar[tuple[str, ...]] = ("gate_up", "down", "gate_up_bias", "down_bias")
    experts: Experts
    idle: NonNegativeInt = 0
    hidden: Width
    activation: Activation
    router: Router
    gated: bool = True
    clamp: ClampSpec = ClampSpec()
    bias: bool = False
    inputs: InputsSpec = InputsSpec()
    shared: Annotated[SharedSpec | None, OrPart("mixer")] = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        chosen, groups = getattr(self.router, "k", 1), getattr(self.router, "groups", ExpertGroups())
        if (self.experts + self.idle) % groups.count:
            raise ValueError(f"{self.experts} experts do not make {groups.count} groups of one size")
        there = (self.experts + self.idle) // groups.count * groups.best
        if chosen > there:
            raise ValueError(f"a router that chooses {chosen} of {there} experts")
        if self.clamp.limit and not self.gated:
            raise ValueError("experts without a gate have none to clamp")
        return self
