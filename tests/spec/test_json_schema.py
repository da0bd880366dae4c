"""The JSON Schema of specs: every shipped spec fits it, mistakes do not, and expressions may stand for any value."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn

import jsonschema
import pytest
from pydantic import BeforeValidator, ValidationError

from triptych.registry import KINDS, get_part, part_names
from triptych.registry.parts import _decorated, part
from triptych.spec.base import BaseSpec, PartSpec
from triptych.spec.catalog import catalog
from triptych.spec.document import parse_document, walk
from triptych.spec.json_schema import spec_json_schema
from triptych.spec.rungs import validate_file

SCHEMA, TROUBLES = spec_json_schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


def flagged(text: str, validator: Any = VALIDATOR) -> list[str]:
    """The paths of what does not fit, the deepest of each mistake."""

    def deepest(error: jsonschema.ValidationError) -> str:
        below = [inner for inner in error.context or () if len(inner.absolute_path) > len(error.absolute_path)]
        best = max(below, key=lambda inner: len(inner.absolute_path), default=None)
        return deepest(best) if best else ".".join(map(str, error.absolute_path))

    return [deepest(error) for error in validator.iter_errors(parse_document(text, file="my.yaml"))]


def test_it_is_a_schema_and_every_registered_part_is_in_it() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert TROUBLES == []
    for kind in KINDS:
        if kind != "activation":
            assert {f"{kind}.{name}" for name in part_names(kind)} <= SCHEMA["$defs"].keys()
    assert set(SCHEMA["properties"]["base"]["anyOf"][0]["enum"]) == set(catalog())
    json.dumps(SCHEMA)


def test_every_reference_in_it_leads_somewhere() -> None:
    refs = {value for key, value in leaves(SCHEMA) if key == "$ref"}
    assert {ref.removeprefix("#/$defs/") for ref in refs} <= SCHEMA["$defs"].keys()
    assert "x-stands-for" not in json.dumps(SCHEMA)


def leaves(value: Any) -> Iterator[tuple[str, Any]]:
    for key, below in value.items() if isinstance(value, dict) else [("", item) for item in value]:
        if isinstance(below, dict | list):
            yield from leaves(below)
        else:
            yield key, below


@pytest.mark.parametrize("name", catalog())
def test_every_registered_spec_fits_it(name: str) -> None:
    assert flagged(catalog()[name].path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", catalog())
def test_no_expression_is_flagged_wherever_a_part_or_a_stack_has_a_value(name: str) -> None:
    """Every scalar of the sections that are evaluated, one at a time, as an expression and as null."""
    text = catalog()[name].path.read_text(encoding="utf-8")
    tree = parse_document(text, file="my.yaml")
    for path, value, _ in walk(tree):
        if path[-1].isdecimal():  # an item of a list: an expression may stand for the list
            continue
        if path[0] == "parts" and len(path) > 2 and path[-1] not in ("use", "like") and not isinstance(value, list):
            for other in ("=config.x", None):
                assert [*VALIDATOR.iter_errors(changed(tree, path, other))] == [], (path, other)


def changed(tree: Any, path: tuple[str, ...], value: object) -> Any:
    return {**tree, path[0]: changed(tree[path[0]], path[1:], value)} if path else value


MISTAKES = [
    ("more: 1", ""),
    ("schema: 2", "schema"),
    ("parts: {mlp: {hiden: 5}}", "parts.mlp"),
    ("parts: {mlp: {use: gated_mlp, hiden: 5}}", "parts.mlp"),
    ("parts: {mlp: {use: gated_mpl}}", "parts.mlp.use"),
    ("parts: {mlp: {use: gated_mlp, window: 5}}", "parts.mlp"),
    ("parts: {attention: {use: attention, heads: many}}", "parts.attention.heads"),
    ("parts: {attention: {heads: many}}", "parts.attention.heads"),
    ("parts: {attention: {use: attention, heads: 0}}", "parts.attention.heads"),
    ("parts: {attention: {use: attention, reach: {causal: 3}}}", "parts.attention.reach.causal"),
    ("parts: {attention: {use: attention, qk_norm: {over: heads}}}", "parts.attention.qk_norm.over"),
    ("parts: {attention: {use: attention, qk_norm: {norm: {use: rms_nrm}}}}", "parts.attention.qk_norm.norm.use"),
    ("parts: {mlp: {use: gated_mlp, activation: slu}}", "parts.mlp.activation"),
    ("parts: {attention: {use: attention, qk_norm: {use: rms_nrm}}}", "parts.attention.qk_norm.use"),
    ("parts: {attention: {use: attention, position: {use: rms_norm}}}", "parts.attention.position.use"),
    ("pooler: {take: middle}", "pooler.take"),
    ("pooler: {projector: [{oot: 3}]}", "pooler.projector.0"),
    ("language_model: {widht: 3}", "language_model"),
    ("language_model: {width: wide}", "language_model.width"),
    ("language_model: {width: 0}", "language_model.width"),
    ("language_model: {embed: {vocab: many}}", "language_model.embed.vocab"),
    ("language_model: {embed: {use: linear}}", "language_model.embed.use"),
    ("language_model: {layers: {count: =config.n, blok: x}}", "language_model.layers"),
    ("blocks: {layer: {mix: {norm: 5}}}", "blocks.layer.mix.norm"),
    ("blocks: {layer: {mix: {norm: {use: mlp}}}}", "blocks.layer.mix.norm.use"),
    ("blocks: {layer: {mix: {mixer: {use: rms_norm}}}}", "blocks.layer.mix.mixer.use"),
    ("blocks: {layer: {mix: {post_norm: {use: rope}}}}", "blocks.layer.mix.post_norm.use"),
    ("language_model: {head: {use: tokens}}", "language_model.head.use"),
    ("language_model: {norm: {use: mlp}}", "language_model.norm.use"),
    ("blocks: {layer: {mix: {mixr: attention}}}", "blocks.layer.mix"),
    ("blocks: {layer: {mix: {parallel: {a: {parallel: {}}}}}}", "blocks.layer.mix.parallel.a.parallel"),
    ("towers: {image: {with: {towr: {}}}}", "towers.image.with"),
    ("projectors: {image: {mlp: {use: mpl}}}", "projectors.image.mlp.use"),
    ("items: {size: {use: fixd}}", "items.size.use"),
    ("tokens: {image: {cont: 3}}", "tokens.image"),
    ("prompt_updates: [{modality: image, replace: x, with: y}]", "prompt_updates.0.with"),
    ("prompt_updates: [{modality: image, replace: x, with: [y, z]}]", "prompt_updates.0.with"),
    ("capabilities: {supports_mropes: true}", "capabilities"),
    ("capabilities: {supports_mrope: 1}", "capabilities.supports_mrope"),
    ("conversions: {rank: {}}", "conversions"),
    ("architectures: LlamaForCausalLM", "architectures"),
    ("config: {a: 3}", "config.a"),
    ("weights: {drop: x}", "weights.drop"),
    ("weights: {norm: 3}", "weights.norm"),
    ("weights: {norm: {from: x, via: transpos}}", "weights.norm.via"),
    ("weights: {norm: {from: x, vai: transpose}}", "weights.norm"),
    ("weights: {layers: {drop: [x]}}", "weights.layers"),
    ("weights: {layouts: {a: {b: 3}}}", "weights.layouts.a.b"),
]


@pytest.mark.parametrize(("line", "path"), MISTAKES)
def test_a_mistake_does_not_fit_and_is_one_for_validate_too(line: str, path: str, tmp_path: Path) -> None:
    head = "base: llama\n" if line.startswith("schema") else "schema: 1\nbase: llama\n"
    assert flagged(head + line) == [path]
    (tmp_path / "my.yaml").write_text(head + line, encoding="utf-8")
    assert not validate_file(tmp_path / "my.yaml", rungs=["spec"]).passed


@pytest.mark.parametrize(
    "line",
    [
        "blocks: {layer: {like: other, mix: {norm: null, mixer: =config.kind, scale: =1 / 2}}}",
        "language_model: {width: =config.a, layers: {count: =config.b, block: =config.c}, head: null}",
        "parts: {norm: {use: =config.norm, eps: 1.0e-6}}",
        "parts: {rope: {use: rope, scaling: {rope_type: yarn, factor: 2}}}",
        "parts: {rope: {use: rope, scaling: =config.rope}}",
        "pooler: {projector: [{out: =config.out, activation: null}]}",
        "pooler: {projector: =config.layers}",
        "pooler: {projector: [=config.first, {out: 3}]}",
        "projectors: {image: steps, audio: =config.steps, video: {norm: {use: rms_norm, eps: 1}, out: {use: linear}}}",
        "tower: {output: {layers: [=config.a, -2], skip: =1}}",
        "items: {size: {use: fixed, image: =config.image_size}, rows: =grid.h, schema: {image: One}}",
        "tokens: {image: {placeholder: =config.image_token, count: =rows}}",
        "schemas: {One: registered, Two: {type: a, shape: [=config.a]}}",
        "config: {a: [b, =config.c], d: e, f: null}",
        "weights: {a: {from: b, via: [transpose, {use: flatten}]}, b: [c, {from: d}], e: null, f: {at: g, h: i}}",
        "weights: {layouts: {a: null, b: {c: null}}, drop: null}",
        "defaults: {anything: [1, {at: all}]}",
    ],
)
def test_what_the_grammar_allows_fits(line: str) -> None:
    assert flagged(f"schema: 1\nbase: [llama, vit]\n{line}") == []


def test_a_spec_says_its_grammar_or_has_a_base_that_does() -> None:
    assert flagged("parts: {}") == [""]
    assert flagged("base: somebodys_own") == []


class _Inner(BaseSpec):
    size: int


class _Odd(PartSpec):
    """Takes words that become numbers, which no schema tells."""

    builds: ClassVar[str | type] = ""
    count: Annotated[int, BeforeValidator(lambda word: {"two": 2}.get(word, word))]
    inner: _Inner | None = None
    name: str = "x"


class _Broken(PartSpec):
    """It says of itself nothing but an error."""

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: object) -> NoReturn:  # type: ignore[override]
        raise ZeroDivisionError


@pytest.fixture
def registering() -> Iterator[Callable[[str, str, object], None]]:
    before = dict(_decorated)
    yield lambda kind, name, target: part(kind, name)(target) and None
    _decorated.clear()
    _decorated.update(before)


def test_a_part_of_someone_else_is_in_it_and_its_own_reading_of_values_is_left_to_it(
    registering: Callable[[str, str, object], None],
) -> None:
    registering("norm", "odd", _Odd)
    validator = jsonschema.Draft7Validator(spec_json_schema()[0])
    begin = "schema: 1\nparts: "
    assert flagged(begin + "{a: {use: odd, count: two, inner: {size: =config.a}, name: null}}", validator) == []
    assert flagged(begin + "{a: {use: odd, cont: 2}}", validator) == ["parts.a"]
    assert flagged(begin + "{a: {use: odd, name: [2]}}", validator) == ["parts.a.name"]
    assert flagged(begin + "{a: {use: odd, inner: {sise: 2}}}", validator) == ["parts.a.inner"]
    with pytest.raises(ValidationError):
        _Odd.model_validate({"count": "three"})
    assert get_part("norm", "odd").spec is _Odd


def test_a_part_that_cannot_be_described_is_told_and_troubles_no_other(
    registering: Callable[[str, str, object], None],
) -> None:
    registering("norm", "broken", _Broken)
    schema, troubles = spec_json_schema()
    assert [trouble.partition(" is not described: ")[0] for trouble in troubles] == ["norm 'broken'"]
    validator = jsonschema.Draft7Validator(schema)
    assert flagged("schema: 1\nparts: {a: {use: broken, anything: 1}}", validator) == []
    assert flagged("schema: 1\nparts: {a: {use: rms_norm, anything: 1}}", validator) == ["parts.a"]


def test_it_is_the_same_each_time_it_is_asked_for() -> None:
    assert spec_json_schema() == spec_json_schema() == (SCHEMA, TROUBLES)
