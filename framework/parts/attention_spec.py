"""What YAML may say of attention."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, FiniteFloat, PositiveFloat, PositiveInt, model_validator

from triptych.spec.base import Activation, AnyPosition, BaseSpec, Norm, OrPart, PartSpec, Position, Width

Heads = Annotated[PositiveInt, Field(le=2**14)]


class OutputGate(BaseSpec):
    """What heads give is multiplied, before the last matrix, by an activation of the rows that came in times a matrix.

    `over`: a number for each head, or for each of its channels. Qiu et al. 2025, arXiv 2505.06708.
    """

    activation: Activation = "sigmoid"
    over: Literal["head", "channel"] = "channel"
    bias: bool = False


class HeadNorms(BaseSpec):
    """A `norm` of queries and one of keys: `over` each head, or all of them side by side.

    It comes before they are turned by their positions, or after. `values` is the norm of the values of each head.
    """

    norm: Norm | None = None
    over: Literal["head", "all"] = "head"
    when: Literal["before", "after"] = "before"
    values: Norm | None = None


class ReachSpec(BaseSpec):
    """What else bounds the rows that one sees.

    `chunk`: those before it in its own chunk of so many. `whole_blocks`: and all of its own block, where rows of a
    prompt see each other both ways, however far that is. `within` names the cut of the step that a row stays inside:
    its sequence unless given.
    """

    chunk: PositiveInt | None = None
    whole_blocks: bool = False
    within: str | None = None


class AttentionSpec(PartSpec):
    """Grouped-query attention.

    `value_dim` is the width of a value, that of a head unless given. `out_bias` is as `bias` unless given, `scale`
    head_dim ** -0.5. `position` is how heads are told where rows stand, `q_position` what positions do to queries
    alone, after that. `qk_norm` is a norm, or a mapping that says more of it. Queries, keys and values are kept within
    `clip` of nought: after their norms, before they are turned.

    Scores are bounded by a `softcap`; after that those of rows past the position `temperature_length` grow, with the
    logarithm of the position.

    A row sees the `window` rows up to itself, else all; `reach` says what is rarer. `sinks`: each head has learned a
    score, which takes part in the softmax and has no value.
    """

    builds: ClassVar[str | type] = "triptych.parts.attention:Attention"
    heads: Heads
    kv_heads: Heads
    head_dim: Width
    value_dim: Width | None = None
    bias: bool = False
    out_bias: bool | None = None
    position: AnyPosition | None = None
    q_position: Position | None = None
    qk_norm: Annotated[HeadNorms | None, OrPart("norm")] = None
    clip: PositiveFloat | None = None
    scale: FiniteFloat | None = None
    softcap: PositiveFloat | None = None
    temperature_length: Annotated[int, Field(ge=2)] | None = None
    sinks: bool = False
    window: PositiveInt | None = None
    reach: ReachSpec = ReachSpec()
    causal: bool = True
    gate: OutputGate | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} kv_heads evenly")
        for name, rows in (("window", self.window), ("chunk", self.reach.chunk)):
            if rows is not None and not self.causal:
                raise ValueError(f"a {name} of {rows} rows needs causal attention")
        if self.position:
            self.position.check_head_dim(self.head_dim)
            if self.position.on_scores == "scaled" and (self.window or self.reach.chunk):
                raise ValueError("scaled ALiBi counts from the start of the sequence, which windows and chunks forget")
        return self
