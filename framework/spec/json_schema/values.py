"""From what pydantic says of a type to what YAML may say in its place."""

from __future__ import annotations

from typing import Any

from triptych.spec.written import EXPRESSION, NULL, STANDS_FOR, Json

NOISE = ("title", "default")  # of a field: its name again, and null
BELOW = ("properties", "$defs")  # names -> schemas


def filled(schema: Any) -> Any:
    """The schema with every place that stands for a definition referring to it, and without noise."""
    if isinstance(schema, list):
        return [filled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if (name := schema.get(STANDS_FOR)) is not None:
        return {"$ref": f"#/$defs/{name}"}
    found = {key: filled(value) for key, value in schema.items()}
    for key in BELOW:
        found |= {key: {name: _quiet(below) for name, below in found[key].items()}} if key in found else {}
    return found


def _quiet(schema: Any) -> Any:
    return {key: value for key, value in schema.items() if key not in NOISE} if isinstance(schema, dict) else schema


def evaluated(schema: Any) -> Any:
    """The schema of what is evaluated before it is typed: any value in it may be an =expression, and null."""
    if not isinstance(schema, dict) or not schema:
        return schema
    found = dict(schema)
    if "properties" in found:
        found["properties"] = {name: _or_expression(below) for name, below in found["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in found:
            found[key] = _or_expression(found[key])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in found:
            found[key] = [evaluated(choice) for choice in found[key]]
    found.pop("required", None)  # a base may have said it, or what it is like
    return found


def choices_of(schema: Json) -> list[Json]:
    """What a schema is one of, where it says no more; else itself alone."""
    found: list[Json] = schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]
    return found


def _or_expression(schema: Any) -> Any:
    if not isinstance(schema, dict) or not schema:
        return schema
    inner = evaluated(_quiet(schema))
    choices = choices_of(inner)
    return {"anyOf": [*choices, *(more for more in (EXPRESSION, NULL) if more not in choices)]}
