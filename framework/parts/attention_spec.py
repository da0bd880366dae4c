"""What YAML may say of attention."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, FiniteFloat, PositiveFloat, PositiveInt, model_validator

from triptych.spec.base import Activation, AnyPosition, BaseSpec, Norm, OrPart, PartSpec, Position, Width

Heads = Annotated[PositiveInt, Field(le=2**14)]


class HeadNorms(BaseSpec):
    """A `norm` of queries and one of keys: `over` each head, or all of them side by side.

    It comes before they are turned by their positions, or after. `values` is the norm of the values of each head.
    Queries, keys and values are kept within `clip` of nought: after their norms, before they are turned.
    """

    norm: Norm | None = None
    over: Literal["head", "all"] = "head"
    when: Literal["before", "after"] = "before"
    values: Norm | None = None
    clip: PositiveFloat | None = None


class ScaleSpec(BaseSpec):
    """What scores are multiplied by: a `scale`, which has a default of the part's own.

    `temperature` is what positions do to queries alone, after they are turned.
    """

    scale: FiniteFloat | None = None
    temperature: Position | None = None


class ScoresSpec(ScaleSpec):
    """How scores become weights: times a `scale`, bounded by a `softcap`.

    After that those of rows past the position `temperature_length` grow, with the logarithm of the position. `sinks`:
    each head has learned a score, which takes part in the softmax and has no value.
    """

    softcap: PositiveFloat | None = None
    temperature_length: Annotated[int, Field(ge=2)] | None = None
    sinks: bool = False


class ReachSpec(BaseSpec):
    """Which rows one sees: those up to itself, or, where attention is not `causal`, all.

    `window`: so many up to itself. `chunk`: those before it in its own chunk of so many. `whole_blocks`: and all of its
    own block, where rows of a prompt see each other both ways, however far that is. `within` names the cut of the step
    that a row stays inside: its sequence unless given.
    """

    causal: bool = True
    window: PositiveInt | None = None
    chunk: PositiveInt | None = None
    whole_blocks: bool = False
    within: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name, rows in (("window", self.window), ("chunk", self.chunk)):
            if rows is not None and not self.causal:
                raise ValueError(f"a {name} of {rows} rows needs causal attention")
        return self


def _keeping(reach: ReachSpec) -> ReachSpec:
    if not reach.causal:
        raise ValueError("later layers look at rows that are kept, and attention both ways keeps none")
    return reach


KeepingReach = Annotated[ReachSpec, AfterValidator(_keeping)]


class OutputGate(BaseSpec):
    """What heads give is multiplied, before the last matrix, by an activation of the rows that came in times a matrix.

    `over`: a number for each head, or for each of its channels. Qiu et al. 2025, arXiv 2505.06708.
    """

    activation: Activation = "sigmoid"
    over: Literal["head", "channel"] = "channel"
    bias: bool = False


class OutSpec(BaseSpec):
    """What becomes of what heads give: a `gate`, and the last matrix, whose `bias` is as the first's unless given."""

    bias: bool | None = None
    gate: OutputGate | None = None


class AttentionSpec(PartSpec):
    """Grouped-query attention.

    `value_dim` is the width of a value, that of a head unless given. `position` is how heads are told where rows stand.
    `qk_norm` is a norm, or a mapping that says more of it. `scores` are times head_dim ** -0.5 unless they say
    otherwise, a row's `reach` is all rows up to itself.
    """

    builds: ClassVar[str | type] = "triptych.parts.attention:Attention"
    heads: Heads
    kv_heads: Heads
    head_dim: Width
    value_dim: Width | None = None
    bias: bool = False
    qk_norm: Annotated[HeadNorms | None, OrPart("norm")] = None
    position: AnyPosition | None = None
    scores: ScoresSpec = ScoresSpec()
    reach: ReachSpec = ReachSpec()
    out: OutSpec = OutSpec()

    @property
    def causal(self) -> bool:
        return self.reach.causal

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} kv_heads evenly")
        if self.position:
            self.position.check_head_dim(self.head_dim)
            if self.position.on_scores == "scaled" and (self.reach.window or self.reach.chunk):
                raise ValueError("scaled ALiBi counts from the start of the sequence, which windows and chunks forget")
        return self
