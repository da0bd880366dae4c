"""Definitions of what may be said of each registered part, and of a part of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from triptych.registry import KINDS, get_part, part_names
from triptych.spec.base import PartSpec
from triptych.spec.json_schema.values import choices_of, evaluated
from triptych.spec.written import EXPRESSION, Json

BARE = ("embed", "head", "pooler", "prompt", "part")  # said by a mapping alone; a name of its own would say nothing
STEPS = ("projector", "norm")
TYPED = tuple(kind for kind in KINDS if kind != "activation")  # activations are functions, and have no fields
PLACES: dict[str, tuple[str, ...]] = {**{kind: (kind,) for kind in TYPED}, "step": STEPS, "part": TYPED}
"""What stands in a spec -> the kinds of part that it may be."""

Fields = Mapping[str, Json]
Offers = Mapping[str, Mapping[str, Fields | None]]  # kind -> name -> fields; None: nothing is known of them


class _Lenient(GenerateJsonSchema):
    """Of a validator that comes before the type, nobody knows what it takes, unless it says so."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def function_before_schema(self, schema: Any) -> Json:
        return super().function_before_schema(schema) if schema.get("json_schema_input_schema") else {}

    def function_wrap_schema(self, schema: Any) -> Json:
        return super().function_wrap_schema(schema) if schema.get("json_schema_input_schema") else {}

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Json:  # noqa: ARG002
        return {}


def part_definitions() -> tuple[dict[str, Json], list[str]]:
    """Name -> definition, of the parts and of the places that they stand in; and what is wrong with some parts."""
    found, offers, troubles = dict[str, Json](), dict[str, dict[str, Fields | None]](), list[str]()
    for kind in TYPED:
        offers[kind] = {}
        for name in part_names(kind):
            try:
                whole = _of_part(kind, name)
            except Exception as error:  # of a part, which may be anybody's; it troubles only who names it
                troubles.append(f"{kind} {name!r} is not described: {error}")
                offers[kind][name] = None
                continue
            found |= whole.pop("$defs", {})
            found[f"{kind}.{name}"] = {**whole, "properties": {**_NAMES, **whole["properties"]}}
            offers[kind][name] = whole["properties"]
    return {**found, **{f"kind.{place}": _place(place, offers) for place in PLACES}}, troubles


_NAMES: dict[str, Json] = {"use": {}, "like": {}}


def _of_part(kind: str, name: str) -> Json:
    """What may be said of one part, its inner definitions under names that are its own."""
    spec = get_part(kind, name).spec
    if not issubclass(spec, PartSpec):
        raise TypeError("its Spec is no PartSpec")
    template = f"#/$defs/{kind}.{name}.{{model}}"
    whole = spec.model_json_schema(ref_template=template, schema_generator=_Lenient)
    inner = {f"{kind}.{name}.{model}": evaluated(below) for model, below in whole.pop("$defs", {}).items()}
    return {"properties": {}, **evaluated(whole), "$defs": inner}


def _place(place: str, offers: Offers) -> Json:
    """What may stand where a part of some kinds is wanted. A string names one of the spec's own parts, or a base's."""
    variants = [(kind, name, fields) for kind in PLACES[place] for name, fields in offers[kind].items()]
    names = sorted({name for _, name, _ in variants})
    found: Json = {
        "type": ["object", "null"] if place in BARE else ["object", "string", "null"],
        "properties": {
            "use": {"anyOf": [{"enum": names}, EXPRESSION]},
            "like": {"type": "string"},
            **_union([fields for _, _, fields in variants if fields is not None]),
        },
        "additionalProperties": any(fields is None for _, _, fields in variants),
        "allOf": [*_by_use(variants)],
    }
    if place == "transform":  # a string is the part's own name
        found |= {"if": {"type": "string"}, "then": {"anyOf": [{"enum": names}, EXPRESSION]}}
    return found


def _by_use(variants: list[tuple[str, str, Fields | None]]) -> Iterator[Json]:
    """A mapping that says `use` has the fields of that part alone."""
    for name in sorted({name for _, name, _ in variants}):
        same = [(kind, fields) for kind, other, fields in variants if other == name]
        if all(fields is not None for _, fields in same):
            choices = [{"$ref": f"#/$defs/{kind}.{name}"} for kind, _ in same]
            then = choices[0] if len(choices) == 1 else {"anyOf": choices}
            said = {"type": "object", "properties": {"use": {"const": name}}, "required": ["use"]}
            yield {"if": said, "then": then}


def _union(variants: list[Fields]) -> dict[str, Json]:
    """Every field that some part has, as one of them has it: without `use`, which part it is is not known."""
    choices: dict[str, list[Json]] = {}
    for fields in variants:
        for name, schema in fields.items():
            known = choices.setdefault(name, [])
            known += [each for each in choices_of(schema) if each not in known]
    return {name: known[0] if len(known) == 1 else {"anyOf": known} for name, known in choices.items()}
