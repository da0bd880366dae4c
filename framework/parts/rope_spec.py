"""What YAML may say of rotary positions, and what a config's `rope_scaling` or `rope_parameters` may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, Field, FiniteFloat, PositiveInt, ValidationInfo, model_validator

from triptych.errors import suggest
from triptych.spec.base import BaseSpec, PositionSpec

Positive = Annotated[FiniteFloat, Field(gt=0)]
Positions = Annotated[PositiveInt, Field(le=2**40)]


class DefaultScaling(BaseSpec):
    type: Literal["default"] = "default"


class LinearScaling(BaseSpec):
    """Every frequency divided by `factor`."""

    type: Literal["linear"] = "linear"
    factor: Positive


class ProportionalScaling(BaseSpec):
    """Of the pairs of a whole head a share is turned, the first, at the frequencies that they would have anyway."""

    type: Literal["proportional"] = "proportional"
    factor: Positive = 1.0
    partial_rotary_factor: FiniteFloat = Field(1.0, ge=0, le=1)


class DynamicScaling(BaseSpec):
    """A base that grows with the sequence, once it is longer than `max_positions`."""

    type: Literal["dynamic"] = "dynamic"
    factor: Positive


class YarnScaling(BaseSpec):
    """Low frequencies divided by `factor`, high ones not, a ramp between; Peng et al. 2023, arXiv 2309.00071."""

    type: Literal["yarn"] = "yarn"
    factor: Positive | None = None
    original_max_position_embeddings: Positions | None = None
    attention_factor: FiniteFloat | None = None
    beta_fast: FiniteFloat | None = Field(None, ge=0)  # nought is the rule's own number: 32, and 1 for the slow
    beta_slow: FiniteFloat | None = Field(None, ge=0)
    mscale: FiniteFloat | None = None
    mscale_all_dim: FiniteFloat | None = None
    truncate: bool = True


class Llama3Scaling(BaseSpec):
    """As YaRN with a ramp over wavelengths, as Llama 3.1 has it."""

    type: Literal["llama3"] = "llama3"
    factor: Positive
    low_freq_factor: Positive
    high_freq_factor: Positive
    original_max_position_embeddings: Positions | None = None


class LongropeScaling(BaseSpec):
    """A divisor for each frequency, one list up to the original length and another past it; arXiv 2402.13753."""

    type: Literal["longrope"] = "longrope"
    short_factor: tuple[Positive, ...]
    long_factor: tuple[Positive, ...]
    short_mscale: Positive | None = None
    long_mscale: Positive | None = None
    factor: Positive | None = None
    attention_factor: FiniteFloat | None = None
    original_max_position_embeddings: Positions | None = None


AnyScaling = (
    DefaultScaling
    | LinearScaling
    | ProportionalScaling
    | DynamicScaling
    | YarnScaling
    | Llama3Scaling
    | LongropeScaling
)
SCALINGS: dict[str, type[BaseSpec]] = {model.model_fields["type"].default: model for model in get_args(AnyScaling)}
ALIASES = {"su": "longrope", "mrope": "default", "deepseek_yarn": "yarn"}
# Stand in the same mapping, and are read by other fields (theta, fraction) or by nothing that changes a number.
HARMLESS = {"rope_theta", "partial_rotary_factor", "original_max_position_embeddings", "finetuned"}
# Of positions of several axes: `sections` and `axes` say it; where all axes are equal, as in text, they change nothing.
HARMLESS |= {"mrope_section", "mrope_interleaved"}


def _as_written(value: object, info: ValidationInfo) -> object:
    """The config's own mapping -> the fields of one of SCALINGS; null is absent."""
    if not isinstance(value, Mapping):
        return value
    elsewhere = info.data.get("elsewhere", ())
    fields = {key: item for key, item in value.items() if item is not None and key not in elsewhere}
    old = fields.pop("type", "default")
    name = fields.pop("rope_type", old)
    name = ALIASES.get(str(name), str(name))
    if name not in SCALINGS:
        raise ValueError(f"unknown rope type {name!r}{suggest(name, SCALINGS)}")
    return {"type": name, **_read_fields(name, fields)}


def _read_fields(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    read = SCALINGS[name].model_fields.keys() - {"type"}
    if unread := sorted(fields.keys() - read - HARMLESS):
        reads = f"it reads {', '.join(sorted(read))}" if read else "it reads nothing"
        raise ValueError(f"rope type {name!r} does not read {', '.join(map(repr, unread))}; {reads}")
    return {key: item for key, item in fields.items() if key in read}


class RopeSpec(PositionSpec):
    """Rotary positions over the first `fraction` of each head.

    `scaling` is the config's own mapping; its keys `elsewhere` are read by other parts. `max_positions` and
    `original_positions` are the lengths that a config states beside it (max_position_embeddings,
    original_max_position_embeddings), for the types that read them.

    Where rows stand at places of several axes (time, height, width), `axes` says which axis a pair of channels turns
    with. cut: one ladder of frequencies, of which each axis has its `sections` in turn; weave: one ladder dealt round
    the axes as far as their `sections` go, the first axis has the rest. Of two axes alone: deal: one ladder dealt
    round, all that one axis has got before those of the next; each: a whole ladder for each axis in its half.
    """

    builds: ClassVar[str | type] = "triptych.parts.rope:Rope"
    theta: Positive
    fraction: FiniteFloat = Field(1.0, gt=0, le=1)
    interleaved: bool = False
    elsewhere: tuple[str, ...] = ()
    scaling: Annotated[
        AnyScaling, Field(discriminator="type"), BeforeValidator(_as_written, json_schema_input_type=dict[str, Any])
    ] = DefaultScaling()
    max_positions: Positions | None = None
    original_positions: Positions | None = None
    axes: Literal["cut", "weave", "deal", "each"] | None = None
    sections: tuple[PositiveInt, ...] | None = Field(None, min_length=2)

    def width(self, head_dim: int) -> int:
        """How many channels of a head are turned."""
        return int(head_dim * self.fraction)

    @property
    def original(self) -> int:
        """The length that the model was first trained with: stated beside the mapping, in it, or not apart."""
        inside: int | None = getattr(self.scaling, "original_max_position_embeddings", None)
        if not (found := self.original_positions or inside or self.max_positions):
            message = f"rope type {self.scaling.type!r} reads original_max_position_embeddings, which is not given"
            raise ValueError(message)
        return found

    def check_head_dim(self, head_dim: int) -> None:
        """Raise ValueError unless heads of that width can be turned so."""
        width = self.width(head_dim)
        if width < 2 or width % 2:
            raise ValueError(f"rope turns pairs of channels; {self.fraction} of a head of {head_dim} are {width}")
        if self.axes in ("deal", "each") and width % 4:
            raise ValueError(f"axes: {self.axes} gives each of two axes as many pairs; there are {width // 2}")
        if self.sections and sum(self.sections) != width // 2:
            asked = f"sections {list(self.sections)} are of {sum(self.sections)} pairs"
            raise ValueError(f"{asked}; there are {width // 2}")
        if isinstance(self.scaling, DynamicScaling) and width == 2:
            raise ValueError("rope type 'dynamic' needs more than one pair of channels")
        if isinstance(self.scaling, LongropeScaling):
            for name in ("short_factor", "long_factor"):
                if (found := len(getattr(self.scaling, name))) != width // 2:
                    raise ValueError(f"{name} has {found} entries for {width // 2} pairs of channels")

    @model_validator(mode="after")
    def _has_what_its_type_reads(self) -> Self:
        scaling = self.scaling
        if (self.axes in ("cut", "weave")) != bool(self.sections):
            raise ValueError("`sections` goes with `axes: cut` and `axes: weave`, and these with `sections`")
        if self.axes == "each" and not isinstance(scaling, DefaultScaling):
            raise ValueError("`axes: each` has several ladders of frequencies, which no scaling is known for")
        reads_maximum = isinstance(scaling, DynamicScaling) or getattr(scaling, "factor", 1) is None
        if reads_maximum and self.max_positions is None:
            raise ValueError(f"rope type {scaling.type!r} reads max_positions, which is not given")
        if isinstance(scaling, YarnScaling | Llama3Scaling | LongropeScaling) and self.original < 2:
            raise ValueError(f"rope type {scaling.type!r} needs an original length of more than {self.original}")
        if isinstance(scaling, YarnScaling) and self.theta <= 1:
            raise ValueError(f"rope type 'yarn' needs a theta above 1, not {self.theta}")
        if isinstance(scaling, Llama3Scaling) and scaling.high_freq_factor <= scaling.low_freq_factor:
            bounds = f"high_freq_factor {scaling.high_freq_factor} and low_freq_factor {scaling.low_freq_factor}"
            raise ValueError(f"{bounds} are the wrong way round")
        return self
