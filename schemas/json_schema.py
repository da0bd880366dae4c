"""JSON Schema (draft 2020-12) of a schema: tensors as nested arrays of numbers.

What symbols say of several arrays has no words there; it stands in the descriptions.
"""

from __future__ import annotations

from typing import Any

from triptych.errors import SchemaTypeError, short
from triptych.schemas.dims import LEADING
from triptych.schemas.fields import Field, PlainField, ShapeField
from triptych.schemas.plan import innermost
from triptych.schemas.schema import TensorSchema, plan_of
from triptych.schemas.union import TaggedUnion

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Json = dict[str, Any]
_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    tuple: "array",
    dict: "object",
}


def json_schema(schema: type[TensorSchema] | TaggedUnion[Any]) -> Json:
    """A schema as JSON Schema, all that it declares (also what a lenient one does not enforce)."""
    if not isinstance(schema, TaggedUnion) and not (isinstance(schema, type) and issubclass(schema, TensorSchema)):
        raise SchemaTypeError(f"a TensorSchema or a tagged union is wanted, not {short(schema)}", path="schema")
    definitions: Json = {}
    if isinstance(schema, TaggedUnion):
        found: Json = {"oneOf": [_object(branch, definitions, tag=schema.tag) for branch in schema.branches]}
    else:
        found = _object(schema, definitions)
    return {"$schema": DIALECT, **found, **({"$defs": definitions} if definitions else {})}


def _object(schema: type[TensorSchema], definitions: Json, *, tag: str = "") -> Json:
    fields = plan_of(schema).fields
    required = [name for name, f in fields.items() if name == tag or (not f.optional and f.default is None)]
    return {
        "title": schema.__qualname__,
        "type": "object",
        "properties": {name: _property(field, definitions) for name, field in fields.items()},
        "required": required,
        "additionalProperties": False,
    }


def _property(field: Field, definitions: Json) -> Json:
    declared = innermost(field)
    if isinstance(declared, ShapeField):
        found = _nested(declared, definitions)
    else:
        assert isinstance(declared, PlainField)
        found = _plain(declared)
    if field.optional and found:
        found = {"anyOf": [found, {"type": "null"}]}
    return {**found, "default": field.default} if isinstance(field.default, (str, int, float)) else found


def _nested(field: ShapeField, definitions: Json) -> Json:
    """Arrays in arrays, one for each dim; with leading dots the arrays may stand in further arrays."""
    found = _number(field)
    for dim in reversed(field.shape.dims):
        if dim != LEADING:
            exact = {"maxItems": dim} if isinstance(dim, int) else {}
            found = {"type": "array", "items": found, "minItems": dim or 1 if isinstance(dim, int) else 1, **exact}
    if field.leading:
        name = f"shape_{len(definitions) + 1}"
        again = {"$ref": f"#/$defs/{name}"}
        definitions[name] = {"anyOf": [found, {"type": "array", "items": again, "minItems": 1}]}
        found = again
    dtype = f", dtype {' or '.join(field.shape.dtype)}" if field.shape.dtype else ""
    return {**found, "description": f"shape {field.shape}{dtype}"}


def _number(field: ShapeField) -> Json:
    kinds = field.numbers - {int} if float in field.numbers else field.numbers  # a number may be whole
    bounds = {"minimum": field.shape.min, "maximum": field.shape.max}
    types = sorted(_TYPES[kind] for kind in kinds)
    found: Json = {"type": types[0] if len(types) == 1 else types} if types else {"not": {}}  # complex: not in JSON
    return found | {name: bound for name, bound in bounds.items() if bound is not None}


def _plain(field: PlainField) -> Json:
    if not all(kind in _TYPES for kind in field.classes) or not all(type(word) in _TYPES for word in field.literals):
        return {}
    found: list[Json] = [{"enum": list(field.literals)}] if field.literals else []
    found += [{"type": _TYPES[kind]} for kind in field.classes]
    return found[0] if len(found) == 1 else {"anyOf": found} if found else {}
