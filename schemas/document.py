"""A schema written in YAML, compiled to the same class that annotations make.

type: pixel_values                                     a word: a literal
pixel_values: [bn, 3, h, w]                            a list: a shape
sizes: {shape: [bn, 2], dtype: int, optional: true}    a mapping: all there is to say
patches: {shape: [bn, p, 3], dynamic: [p]}
count: {shape: [], dtype: int, min: 1, max: 8}
mode: {literal: [crop, pad]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import getitem
from types import new_class
from typing import Annotated, Any, Literal, NamedTuple

from triptych.arguments import check_arguments
from triptych.errors import Place, Problem, SchemaError, SchemaTypeError, suggest
from triptych.schemas.options import wrong_options
from triptych.schemas.schema import RESERVED, TensorSchema
from triptych.schemas.shape import TensorShape
from triptych.schemas.values import told

_OF_SHAPES = ("dtype", "dynamic", "min", "max")
_KEYS = ("shape", "literal", "optional", *_OF_SHAPES)


class _Mistake(NamedTuple):
    """`at` leads to what is wrong; its last step is a key when the key itself is."""

    at: tuple[str | int, ...]
    message: str
    wrong_type: bool = False
    key: bool = False


def compile_schema(name: str, tree: Mapping[str, Any]) -> type[TensorSchema]:
    """The schema class that a mapping of fields describes; a field that is null is left out.

    Raises SchemaError, also a TypeError when something is of another type than is wanted, with all mistakes. Where the
    mapping knows the places of its keys and values (`keys_at` and `values_at`, `places` of a list), problems have them.
    """
    check_arguments(SchemaTypeError, name=(name, str))
    if not isinstance(tree, Mapping):
        raise SchemaTypeError(f"a schema is a mapping of fields, not {told(tree)}", path=name)
    fields = {field: entry for field, entry in tree.items() if entry is not None}
    mistakes = [mistake for field, entry in fields.items() for mistake in _mistakes(field, entry)]
    if mistakes:
        kind = SchemaTypeError if any(mistake.wrong_type for mistake in mistakes) else SchemaError
        raise kind(Problem(m.message, _dotted((name, *m.at)), _place(tree, m)) for m in mistakes)
    annotations = {field: _annotation(_spelt_out(entry)) for field, entry in fields.items()}
    return new_class(name, (TensorSchema,), {}, lambda body: body.update(__annotations__=annotations))


def _spelt_out(entry: Any) -> Any:
    """The mapping that a list or a word is short for; what is null in a mapping is left out."""
    if isinstance(entry, Mapping):
        return {key: value for key, value in entry.items() if value is not None}
    return {"shape" if isinstance(entry, (list, tuple)) else "literal": entry}


def _annotation(entry: Mapping[str, Any]) -> Any:
    if "literal" in entry:
        found: Any = getitem(Literal, tuple(_words(entry["literal"])))
    else:
        bounds = {"min": entry.get("min"), "max": entry.get("max")}
        shape = TensorShape(*entry["shape"], dynamic_dims=entry.get("dynamic"), dtype=entry.get("dtype"), **bounds)
        found = Annotated[Any, shape]
    return found | None if entry.get("optional") else found


def _words(literal: Any) -> Sequence[Any]:
    return literal if isinstance(literal, (list, tuple)) else [literal]


def _mistakes(field: Any, entry: Any) -> Iterator[_Mistake]:
    if not isinstance(field, str) or not field.isidentifier() or field in RESERVED:
        why = "schemas have a member of this name" if field in RESERVED else "a field has a name such as Python's are"
        yield _Mistake((field,), f"{why}; call it otherwise", key=True)
    short_form = not isinstance(entry, Mapping)
    said = _spelt_out(entry)
    unknown = [key for key in said if key not in _KEYS]
    for key in unknown:
        yield _Mistake((field, key), f"a field has no such key{suggest(str(key), _KEYS)}", key=True)
    if ("shape" in said) == ("literal" in said):
        if not unknown:  # which may be one of the two, mistyped
            yield _Mistake((field,), "a field says either its shape or which literal it holds")
    elif "literal" in said:
        for key in (key for key in _OF_SHAPES if key in said):
            yield _Mistake((field, key), "this belongs to a shape, and the field is a literal", key=True)
        yield from _wrong_literal(said["literal"], (field,) if short_form else (field, "literal"))
    else:
        yield from _wrong_shape(said, field, () if short_form else ("shape",))
    if not isinstance(said.get("optional", False), bool):
        yield _Mistake((field, "optional"), f"expected true or false, found {told(said['optional'])}", True)


def _wrong_literal(literal: Any, at: tuple[str | int, ...]) -> Iterator[_Mistake]:
    if literal == []:
        yield _Mistake(at, "a literal is at least one word or whole number")
    for place, word in enumerate(_words(literal)):
        if not isinstance(word, (str, int)):
            step = (place,) if isinstance(literal, list) else ()
            yield _Mistake((*at, *step), f"a literal is a word, a whole number, true or false, not {told(word)}", True)


def _wrong_shape(said: Mapping[str, Any], field: str, below: tuple[str, ...]) -> Iterator[_Mistake]:
    dims = said["shape"]
    if not isinstance(dims, (list, tuple)):
        yield _Mistake((field, *below), f"a shape is a list of dims, not {told(dims)}", True)
        dims = []
    options = [said.get(key) for key in ("dynamic", "dtype", "min", "max")]
    for wrong in wrong_options(dims, *options):
        if wrong.option == "dims":
            yield _Mistake((field, *below, wrong.place or 0), wrong.message, wrong.wrong_type)
        elif dims or wrong.option != "dynamic_dims":
            yield _Mistake((field, wrong.option.removesuffix("_dims")), wrong.message, wrong.wrong_type)


def _dotted(path: tuple[str | int, ...]) -> str:
    first, *rest = path
    return f"{first}{''.join(f'[{step}]' if isinstance(step, int) else f'.{step}' for step in rest)}"


def _place(tree: Any, mistake: _Mistake) -> Place | None:
    *above, last = mistake.at
    for step in above:
        tree = tree[step]
    if isinstance(tree, Mapping):
        found: Place | None = getattr(tree, "keys_at" if mistake.key else "values_at", {}).get(last)
        return found
    places: Sequence[Place] = getattr(tree, "places", ())
    return places[last] if isinstance(last, int) and last < len(places) else None
