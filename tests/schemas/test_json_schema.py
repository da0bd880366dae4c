"""Schemas as JSON Schema: what it says, that it is valid, and that it takes what validation takes."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from torch import Tensor

from triptych.errors import SchemaError
from triptych.schemas import TensorSchema, TensorShape, json_schema, tagged_union


def takes(schema: Any, values: dict[str, Any]) -> bool:
    """Whether values fit the exported schema, as an implementation of JSON Schema sees it."""
    jsonschema = pytest.importorskip("jsonschema")
    return bool(jsonschema.Draft202012Validator(json_schema(schema)).is_valid(values))


class Pixels(TensorSchema):
    type: Literal["pixels"] = "pixels"
    x: Annotated[Tensor, TensorShape("n", 2, dtype="float")]
    rows: Annotated[Tensor, TensorShape(..., 3, dtype="int")] | None
    count: Annotated[int, TensorShape(min=1, max=8)]
    name: str | int | None
    anything: Any
    flags: Annotated[Tensor, TensorShape("n", dtype=["bool", "int"])] | None


class Other(TensorSchema):
    type: Literal["other", "another"]
    rows: Annotated[Tensor, TensorShape(..., "h")]
    phases: Annotated[Tensor, TensorShape(dtype="complex64")] | None


UNION = tagged_union("type", Pixels, Other)


def test_a_schema_says_what_its_fields_hold() -> None:
    assert json_schema(Pixels) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pixels",
        "type": "object",
        "properties": {
            "type": {"enum": ["pixels"], "default": "pixels"},
            "x": {
                "type": "array",
                "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                "minItems": 1,
                "description": "shape (n, 2), dtype float",
            },
            "rows": {
                "anyOf": [
                    {"$ref": "#/$defs/shape_1", "description": "shape (..., 3), dtype int"},
                    {"type": "null"},
                ]
            },
            "count": {"type": "integer", "minimum": 1, "maximum": 8, "description": "shape (), dtype int"},
            "name": {"anyOf": [{"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"type": "null"}]},
            "anything": {},
            "flags": {
                "anyOf": [
                    {
                        "type": "array",
                        "items": {"type": ["boolean", "integer"]},
                        "minItems": 1,
                        "description": "shape (n), dtype bool or int",
                    },
                    {"type": "null"},
                ]
            },
        },
        "required": ["x", "count", "anything"],
        "additionalProperties": False,
        "$defs": {
            "shape_1": {
                "anyOf": [
                    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3},
                    {"type": "array", "items": {"$ref": "#/$defs/shape_1"}, "minItems": 1},
                ]
            }
        },
    }


@pytest.mark.parametrize("schema", [Pixels, Other, UNION])
def test_it_is_valid_against_the_metaschema_and_can_be_written(schema: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    found = json.loads(json.dumps(json_schema(schema)))
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]


GOOD: dict[str, Any] = {"type": "pixels", "x": [[1, 2.5]], "count": 3, "anything": 0}


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({}, True),
        ({"rows": [1, 2, 3]}, True),
        ({"rows": [[[1, 2, 3]], [[4, 5, 6]]]}, True),
        ({"rows": [[1, 2]]}, False),
        ({"rows": [[]]}, False),
        ({"rows": None, "name": None}, True),
        ({"x": [[1, 2, 3]]}, False),
        ({"x": []}, False),
        ({"x": [[1, "2"]]}, False),
        ({"x": [[1, True]]}, False),
        ({"x": None}, False),
        ({"count": 9}, False),
        ({"count": 2.5}, False),
        ({"count": True}, False),
        ({"name": 1.5}, False),
        ({"flags": [True]}, True),
        ({"flags": [1.5]}, False),
        ({"type": "Pixels"}, False),
        ({"extra": 1}, False),
    ],
)
def test_it_takes_what_validation_takes(values: dict[str, Any], fits: bool) -> None:
    values = {**GOOD, **values}
    assert takes(Pixels, values) is fits
    assert accepts(Pixels, values) is fits


def accepts(schema: Any, values: dict[str, Any]) -> bool:
    try:
        schema(**values)
    except SchemaError:
        return False
    return True


def test_of_a_union_one_branch_fits() -> None:
    for values in (GOOD, {"type": "another", "rows": [[1.5]]}):
        assert takes(UNION, values)
        assert accepts(UNION, values)
    untagged = {name: value for name, value in GOOD.items() if name != "type"}
    for values in ({"type": "other", "rows": [["a"]]}, {"type": "third", "rows": [1]}, untagged):
        assert not takes(UNION, values)
        assert not accepts(UNION, values)


def test_what_json_cannot_say_is_not_asked_for() -> None:
    phases = json_schema(Other)["properties"]["phases"]
    assert phases["anyOf"][0] == {"not": {}, "description": "shape (), dtype complex64"}
