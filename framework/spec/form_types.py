"""The types of values in a spec document, as they are written: each with what it refuses, and what editors are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, WrapValidator

from triptych.errors import suggest
from triptych.spec.base import PartField
from triptych.spec.expressions import is_expression
from triptych.spec.written import NULL, STANDS_FOR, Beside, Json, OrExpression, Written

PLACEHOLDER = "placeholder"  # the word for all placeholders of an item, in what it becomes in a prompt
T = TypeVar("T")

Attend = Literal["both", "prefix"]


def _unless_expression(value: Any, validate: Callable[[Any], Any]) -> Any:
    return value if is_expression(value) else validate(value)


def _unless_text(value: Any, validate: Callable[[Any], Any]) -> Any:
    return value if isinstance(value, str) else validate(value)


def _name(value: str) -> str:
    if not value.isidentifier():
        raise ValueError("a name is made of letters, digits and _")
    return value


def _part(value: Any) -> Any:
    if not isinstance(value, str | Mapping):
        raise ValueError("the name of a part is wanted, or a mapping with `use` or `like`")
    return value


def _content(value: Any) -> Any:
    texts = value if isinstance(value, list) else [value]
    if not isinstance(value, Mapping) and (texts.count(PLACEHOLDER) != 1 or not all(isinstance(t, str) for t in texts)):
        raise ValueError(f"`{PLACEHOLDER}` is wanted, once and with texts around it if there are any, or a part")
    return value


def _schema(value: Any) -> Any:
    if not isinstance(value, str | Mapping):
        raise ValueError("a mapping of fields is wanted, or the name of a registered schema")
    return value


def _place(value: Any) -> Any:
    if value is not None and not all(
        isinstance(place, str) for place in (value if isinstance(value, list) else [value])
    ):
        raise ValueError("a key, a dotted key or an =expression is wanted, or a list of these")
    return value


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _capability(name: str) -> str:
    from triptych.capabilities.table import CAPABILITIES  # few specs name any, and it takes a while

    if name not in CAPABILITIES:
        raise ValueError(f"unknown capability {name!r}{suggest(name, CAPABILITIES)}")
    return name


def _no_members(value: Any) -> Any:
    if value is not None:
        raise ValueError("a member stands beside others; it has none within")
    return value


def _no_residual(value: Any) -> Any:
    if value is not None:
        raise ValueError("a member is added to the rows with others; the branch around them may have one")
    return value


def _without_like(value: Any) -> Any:
    """A block less the name of the one that it is like."""
    if not isinstance(value, Mapping) or not isinstance(value.get("like"), str):
        return value
    return {key: branch for key, branch in value.items() if key != "like"}


def _capabilities() -> Json:
    from triptych.capabilities.table import CAPABILITIES

    known = {name: {"type": ["boolean", "null"]} for name in CAPABILITIES}
    return {"type": "object", "properties": known, "additionalProperties": False}


def _texts() -> Json:
    return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


def _text_or_mapping() -> Json:
    return {"type": ["string", "object"]}


def _contents() -> Json:
    texts = {"type": "array", "items": {"type": "string"}, "contains": {"const": PLACEHOLDER}}
    return {"anyOf": [{"const": PLACEHOLDER}, texts, {STANDS_FOR: "kind.prompt"}]}


def _rows() -> Json:
    return {STANDS_FOR: "weights"}


Or = Annotated[T, WrapValidator(_unless_expression), OrExpression()]
Name = Annotated[str, AfterValidator(_name)]
Names = list[str]
CapabilityName = Annotated[str, AfterValidator(_capability)]
Capabilities = Annotated[dict[CapabilityName, StrictBool | None], Written(_capabilities)]
PartRef = Annotated[Any, AfterValidator(_part)]
NormRef = Annotated[PartRef, PartField("norm")]
MixerRef = Annotated[PartRef, PartField("mixer")]
StepRef = Annotated[PartRef, PartField("step")]
SizeRef = Annotated[PartRef, PartField("size")]
SamplingRef = Annotated[PartRef, PartField("sampling")]
PositionsRef = Annotated[PartRef, PartField("positions")]
CutRef = Annotated[PartRef, PartField("cut")]
Content = Annotated[Any, AfterValidator(_content), Written(_contents)]
Plain = dict[str, Any]
SchemaNames = Annotated[
    list[str], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=list[str] | str)
]
LayerNumbers = Annotated[list[Or[int]], BeforeValidator(_listed, json_schema_input_type=list[Or[int]] | int)]
NoMembers = Annotated[Any, AfterValidator(_no_members), Written(lambda: NULL)]
NoResidual = Annotated[Any, AfterValidator(_no_residual), Written(lambda: NULL)]
ConfigPlace = Annotated[Any, AfterValidator(_place), Written(_texts)]
SchemaRef = Annotated[Any, AfterValidator(_schema), Written(_text_or_mapping)]
Rows = Annotated[Plain, Written(_rows)]
Embed = Annotated[Plain, PartField("embed")]
Head = Annotated[Plain, PartField("head")]
Pooler = Annotated[Plain, PartField("pooler")]
AnyPart = Annotated[Plain, PartField("part")]
Steps = dict[Name, StepRef | None]
StepsRef = Annotated[Steps, WrapValidator(_unless_text, json_schema_input_type=Steps | str)]
Block = Annotated[dict[Name, T | None], BeforeValidator(_without_like), Beside("like")]
