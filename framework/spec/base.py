"""Base classes of what YAML may say of a part, and the field types that hold other parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PositiveInt,
    ValidationInfo,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from triptych.errors import suggest
from triptych.registry import part_names
from triptych.registry.authors import blaming
from triptych.registry.parts import get_builder
from triptych.spec.written import STANDS_FOR, Json, Written

MAX_WIDTH = 2**20
ROLES = ("norm", "post_norm", "sum_norm")  # of norms in a branch

Width = Annotated[PositiveInt, Field(le=MAX_WIDTH)]
OnScores = Literal["linear", "root", "scaled"]


class BaseSpec(BaseModel):
    """Frozen, hashable by value, unknown keys refused. Null in YAML is absent: the default of the class holds."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), arbitrary_types_allowed=True, defer_build=True
    )


class PartSpec(BaseSpec):
    """What YAML may say of one registered part; `builds` names the class ("module:Class") that it describes.

    A mixer that `crosses` hands something on to later layers beside the rows, or takes it; what one gives that
    `replaces` is not added to the rows. `stacked` are its parameters of which each is many matrices, that may stand
    one by one on disk. A mixer that is `recurrent` goes on from a state, of one size however long a sequence is.
    """

    builds: ClassVar[str | type] = ""
    stacked: ClassVar[tuple[str, ...]] = ()
    recurrent: ClassVar[bool] = False
    crosses: ClassVar[bool] = False
    replaces: ClassVar[bool] = False

    def build(self, **sizes: Any) -> Any:
        """The part itself; `sizes` are what the place it stands in knows (width, key, head_dim, ...).

        A Spec without `builds` is callable: it is the part. Raises PluginError when a part of others fails.
        """
        if not self.builds:
            return self
        builder = get_builder(self.builds)
        with blaming(builder, "as it is built"):
            return builder(self, **sizes)


class PositionSpec(PartSpec):
    """How attention is told where rows stand: by a part that `turns` heads, by what it adds to scores, or by both.

    The part is called with heads [T, H, K] and the step, and gives heads; it is built for those that `turns` alone.
    """

    turns: ClassVar[bool] = True

    @property
    def on_scores(self) -> OnScores | None:
        """What is added to scores: one of the kinds of ALiBi that the op `attention` knows."""
        return None

    def check_head_dim(self, head_dim: int) -> None:
        """Raise ValueError unless heads of that width can be told so."""


class Resolver(Protocol):
    """What types a reference to a part: the scope of a spec, handed to pydantic as validation context."""

    def typed_part(self, kind: str, reference: object) -> PartSpec: ...


@dataclass(frozen=True)
class PartField:
    """Marks a field that holds the Spec of another part, named or inline."""

    kind: str

    def __get_pydantic_json_schema__(self, core: Json, handler: Callable[[Json], Json]) -> Json:
        return {STANDS_FOR: f"kind.{self.kind}"}


@dataclass(frozen=True)
class OrPart(PartField):
    """Marks a field that is a mapping, or the part of that `kind` alone which the mapping holds under its name."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._in_full, handler(source))

    def __get_pydantic_json_schema__(self, core: Json, handler: Callable[[Json], Json]) -> Json:
        mapping = handler(core["schema"])
        choices = mapping["anyOf"] if mapping.keys() == {"anyOf"} else [mapping]
        return {"anyOf": [*choices, super().__get_pydantic_json_schema__(core, handler)]}

    def _in_full(self, value: object) -> object:
        return {self.kind: value} if is_reference(value) else value


def kind_of_part(field: FieldInfo) -> str:
    """The kind of the part that a field of a Spec holds, '' for other fields."""
    marks = [*field.metadata]
    for choice in getattr(field.annotation, "__args__", ()):
        marks += getattr(choice, "__metadata__", ())
    return next((mark.kind for mark in marks if isinstance(mark, PartField)), "")


def is_reference(value: object) -> bool:
    """Whether a part is meant: by its name, by a mapping that says which, or by its Spec."""
    return isinstance(value, str | PartSpec) or (isinstance(value, Mapping) and bool(value.keys() & {"use", "like"}))


def _part_field(kind: str) -> BeforeValidator:
    def validate(value: object, info: ValidationInfo[Resolver]) -> object:
        if value is None or isinstance(value, PartSpec):
            return value
        return info.context.typed_part(kind, value)

    return BeforeValidator(validate)


def _telling(position: object) -> object:
    if position is not None and not isinstance(position, PositionSpec):
        raise ValueError(f"{type(position).__name__} is no PositionSpec, which says what a position does")
    return position


def _turning(position: PositionSpec | None) -> object:
    if position is not None and (position.on_scores or not position.turns):
        raise ValueError(f"{type(position).__name__} adds to scores, and here positions turn heads alone")
    return position


def _activation(name: str) -> str:
    if name not in (known := part_names("activation")):
        raise ValueError(f"unknown activation {name!r}{suggest(name, known)}")
    return name


Norm = Annotated[Any, PartField("norm"), _part_field("norm")]
AnyPosition = Annotated[Any, PartField("position"), _part_field("position"), AfterValidator(_telling)]
Position = Annotated[AnyPosition, AfterValidator(_turning)]
Table = Annotated[Any, PartField("table"), _part_field("table")]
Mixer = Annotated[Any, PartField("mixer"), _part_field("mixer")]
Router = Annotated[Any, PartField("router"), _part_field("router")]
Activation = Annotated[str, AfterValidator(_activation), Written(lambda: {"enum": part_names("activation")})]
