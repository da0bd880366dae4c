"""What YAML may say of experts that rows are routed to."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import NonNegativeInt, PositiveFloat, model_validator

from triptych.parts.routers_spec import ExpertGroups, Experts
from triptych.spec.base import Activation, BaseSpec, Mixer, Norm, OrPart, PartSpec, Router, Width


class ClampedSpec(BaseSpec):
    """(up + 1) * gate * sigmoid(alpha * gate), no gate above `limit` and each up within it: as gpt-oss has it."""

    limit: PositiveFloat
    alpha: PositiveFloat


class SharedSpec(BaseSpec):
    """The `mixer` that every row goes through; with a `gate`, times the sigmoid of a number for each row."""

    mixer: Mixer
    gate: bool = False


class LatentSpec(BaseSpec):
    """Experts work on rows of a `width` of their own: a matrix makes these, and another takes what they give back."""

    width: Width | None = None
    bias: bool = False


class MoeSpec(PartSpec):
    """So many `experts`, each an MLP of width `hidden`, of which the `router` chooses some for each row.

    They are `gated`, by an activation, up to a `limit` as a gated MLP's, or as `clamped` says. Shares weigh what
    experts give, or what they are given (`shares_of`). Every row goes through what is `shared` too: a mixer, or a
    mapping that says more of it. A `norm` is of what experts are given, and neither the router nor the shared mixer;
    so is a `latent`, after it. So many more that are `idle` give back what they are given (LongCat-Flash, arXiv
    2509.01322, section 2.1).
    """

    builds: ClassVar[str | type] = "triptych.parts.moe:Moe"
    stacked: ClassVar[tuple[str, ...]] = ("gate_up", "down", "gate_up_bias", "down_bias")
    experts: Experts
    idle: NonNegativeInt = 0
    hidden: Width
    activation: Activation
    router: Router
    gated: bool = True
    clamped: ClampedSpec | None = None
    limit: PositiveFloat | None = None
    bias: bool = False
    shares_of: Literal["outputs", "inputs"] = "outputs"
    shared: Annotated[SharedSpec | None, OrPart("mixer")] = None
    norm: Norm | None = None
    latent: LatentSpec = LatentSpec()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        chosen, groups = getattr(self.router, "k", 1), getattr(self.router, "groups", ExpertGroups())
        if (self.experts + self.idle) % groups.count:
            raise ValueError(f"{self.experts} experts do not make {groups.count} groups of one size")
        there = (self.experts + self.idle) // groups.count * groups.best
        if chosen > there:
            raise ValueError(f"a router that chooses {chosen} of {there} experts")
        if (self.clamped or self.limit) and not self.gated:
            raise ValueError("experts without a gate have none to clamp")
        if self.clamped and self.limit:
            raise ValueError("`clamped` has a limit of its own")
        return self
