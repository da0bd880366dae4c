"""What YAML may say of attention."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, FiniteFloat, PositiveFloat, PositiveInt, model_validator

from triptych.parts.rope_spec import RopeSpec
from triptych.spec.base import Activation, BaseSpec, Norm, PartSpec, Position, Width

Heads = Annotated[PositiveInt, Field(le=2**14)]


class OutputGate(BaseSpec):
    """What heads give is multiplied, before the last matrix, by an activation of the rows that came in times a matrix.

    `over`: a number for each head, or for each of its channels. Qiu et al. 2025, arXiv 2505.06708.
    """

    activation: Activation = "sigmoid"
    over: Literal["head", "channel"] = "channel"
    bias: bool = False


class AttentionSpec(PartSpec):
    """Grouped-query attention.

    `value_dim` is the width of a value, that of a head unless given. `sinks`: each head has learned a score, which
    takes part in the softmax and has no value.

    `out_bias` is as `bias` unless given, `scale` head_dim ** -0.5. `qk_norm` runs over each head, or over all of
    them side by side, before queries and keys are turned by their positions or after. `q_position` is what
    positions do to queries alone, after that. `v_norm` runs over the values of each head. Keys and values that a
    layer `leaves` under a name are there for later ones. A row sees the `window` rows up to itself, or those before
    it in its `chunk` of so many, else all. `whole_blocks`: and all of its own block, where rows of a prompt see
    each other both ways, however far that is. `within` names the cut of the step that a row stays inside: its
    sequence unless given. Queries, keys and values are kept within `clip` of nought, before their norms or after.
    `alibi`: scores fall with the distance of the row that is looked at, or with its root; `scaled` is the first as
    Falcon rounds it.
    """

    builds: ClassVar[str | type] = "triptych.parts.attention:Attention"
    heads: Heads
    kv_heads: Heads
    head_dim: Width
    value_dim: Width | None = None
    bias: bool = False
    out_bias: bool | None = None
    position: Position | None = None
    q_position: Position | None = None
    qk_norm: Norm | None = None
    qk_norm_over: Literal["head", "all"] = "head"
    qk_norm_when: Literal["before", "after"] = "before"
    v_norm: Norm | None = None
    leaves: str | None = None
    scale: FiniteFloat | None = None
    window: PositiveInt | None = None
    chunk: PositiveInt | None = None
    whole_blocks: bool = False
    softcap: PositiveFloat | None = None
    sinks: bool = False
    gate: OutputGate | None = None
    causal: bool = True
    within: str | None = None
    clip: PositiveFloat | None = None
    clip_when: Literal["before", "after"] = "before"
    alibi: Literal["linear", "root", "scaled"] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} kv_heads evenly")
        if self.clip_when == "after" and self.qk_norm is None:
            raise ValueError("clip_when: after needs a qk_norm that it comes after")
        for name in ("window", "chunk"):
            if (rows := getattr(self, name)) is not None and not self.causal:
                raise ValueError(f"a {name} of {rows} rows needs causal attention")
        if self.alibi == "scaled" and (self.window or self.chunk):
            raise ValueError("alibi: scaled counts from the start of the sequence, which windows and chunks forget")
        if isinstance(self.position, RopeSpec):
            self.position.check_head_dim(self.head_dim)
        return self
