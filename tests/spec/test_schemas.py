"""Input schemas in specs: compiled for a config, named by the items of each modality, and checked without one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spec.conftest import Validated
from triptych.errors import SpecError
from triptych.registry import named
from triptych.schemas import TaggedUnion, TensorSchema, compile_schema, tagged_union
from triptych.spec.catalog import catalog, load_named, sample_config
from triptych.spec.document import Tree, parse_document
from triptych.spec.merge import merge
from triptych.spec.plan import ModelPlan, plan


@pytest.fixture(autouse=True)
def _registered_for_one_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "_decorated", {})


def planned(changes: str = "", spec: str = "llava", **config: Any) -> ModelPlan:
    tree = merge(load_named(spec)[1], parse_document(changes, file="my.yaml"))
    assert isinstance(tree, Tree)
    return plan(tree, {**sample_config(tree), **config}, name="my")


def refused(changes: str, spec: str = "llava", **config: Any) -> list[str]:
    with pytest.raises(SpecError) as found:
        planned(changes, spec, **config)
    return [str(problem) for problem in found.value.problems]


# The classes of the input schemas by family, as the table of supported models lists them.
CLASSES = {
    "llava": ("LlavaImagePixelInputs", "LlavaImageEmbeddingInputs"),
    "llava_next": ("LlavaNextImagePixelInputs", "LlavaNextImageEmbeddingInputs"),
    "llava_onevision": ("LlavaOnevisionImagePixelInputs", "LlavaOnevisionImageEmbeddingInputs"),
    "clip_vision": ("ImagePixelInputs",),
    "siglip_vision": ("ImagePixelInputs",),
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_family_with_a_tower_states_the_schemas_of_its_items(name: str) -> None:
    found = planned(spec=name).items["image"]
    assert tuple(branch.__qualname__ for branch in (found.taken, *found.others)) == CLASSES[name]
    assert found.shape.dims[-3:] == (3, 56, 56)
    assert found.shape.dtype == ("float",)


def test_every_registered_family_with_towers_states_a_schema_for_each_modality() -> None:
    families = [name for name, spec in catalog().items() if spec.kind in ("multimodal", "tower")]
    for name in families:
        found = planned(spec=name)
        told = {*found.tokens, *found.sources}
        assert found.items.keys() == told or (not told and len(found.items) == 1), name


def test_dims_are_worked_out_from_the_config_of_the_tower_and_of_the_language_model() -> None:
    vision = {**sample_config(load_named("llava")[1])["vision_config"], "image_size": 28, "num_channels": 4}
    found = planned(vision_config=vision)
    (embeds,) = found.items["image"].others
    assert found.items["image"].shape.dims == (4, 28, 28)
    assert found.schemas["LlavaImageEmbeddingInputs"] is embeds
    with pytest.raises(ValueError, match=r"image_embeds: expected shape \(rows, 64\), found \(1, 2\)"):
        embeds(type="image_embeds", image_embeds=[[1.0, 2.0]])


def test_the_branches_are_told_apart_by_their_type() -> None:
    union = planned().items["image"].union
    assert isinstance(union, TaggedUnion)
    with pytest.raises(ValueError, match=r"found 'image_embds' .*selects no schema; did you mean 'image_embeds'"):
        union(type="image_embds", image_embeds=[[1.0]])


def test_where_a_parent_says_nothing_its_towers_own_schema_counts() -> None:
    found = planned("items: null\nschemas: null").items["image"]
    assert found.taken.__qualname__ == "ImagePixelInputs"
    assert found.shape.dims[-3:] == (3, 56, 56)


def test_a_registered_schema_stands_for_one_that_is_written_out() -> None:
    mine = compile_schema("Mine", {"type": "mine", "pixels": ["c", "y", "x"]})
    named.schema("mine")(mine)
    by_alias = planned("schemas: {LlavaImagePixelInputs: mine}")
    by_name = planned("items: {schema: {image: mine}}")
    assert by_alias.items["image"].taken is by_alias.schemas["LlavaImagePixelInputs"] is mine
    assert (by_name.items["image"].taken, by_name.items["image"].others) == (mine, ())


def test_a_registered_union_stands_for_its_branches() -> None:
    branches = [compile_schema(w, {"type": w, "pixels": ["c", "y", "x"]}) for w in ("a", "b")]
    named.schema("either")(tagged_union("type", *branches))
    found = planned("items: {schema: {image: either}}").items["image"]
    assert [found.taken, *found.others] == branches


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 2**12), scale=st.integers(1, 5))
def test_a_dim_by_expression_is_what_the_expression_comes_to(width: int, scale: int) -> None:
    text = f"schemas: {{Free: {{x: [n, =config.free * {scale}, n//2]}}}}\ninert: [free]"
    (name, schema), *_ = [item for item in planned(text, "llama", free=width).schemas.items() if item[0] == "Free"]
    assert isinstance(schema, type)
    assert issubclass(schema, TensorSchema)
    assert schema.__qualname__ == name
    with pytest.raises(
        ValueError, match=rf"expected shape \(n, {width * scale}, n//2\), found \(1, 1, 1\)|divides|must"
    ):
        schema(x=[[[1.0]]])


@pytest.mark.parametrize("kind", ["processor", "dummy_inputs"])
def test_a_spec_names_its_processor_and_dummy_inputs(kind: str) -> None:
    getattr(named, kind)("mine")(dict)
    assert getattr(planned(f"{kind}: mine"), kind) == "mine"
    assert getattr(planned(), kind) is None


# What is wrong -> what is said of it, by `plan` for a config and by `validate` without one.
WRONG = {
    "schemas: {A: {x: {shpe: [n]}}}": r":19: schemas\.A\.x\.shpe: a field has no such key; did you mean 'shape'\?",
    "schemas: {A: {x: {shape: [n], dtyp: int}}}": r":31: schemas\.A\.x\.dtyp: .* no such key; did you mean 'dtype'\?",
    "schemas: {A: {x: {shape: [n], dtype: flot}}}": r":38: schemas\.A\.x\.dtype: unknown dtype 'flot'; did you mean",
    "schemas: {A: {x: [n, -3]}}": r":22: schemas\.A\.x\[1\]: a dim is at least 0, not -3",
    "schemas: {A: {x: [n, =config.image_token, 2.5]}}": r":43: schemas\.A\.x\[2\]: a dim is a whole number or a string",
    "schemas: {A: {x: [n, 'h/2']}}": r":22: schemas\.A\.x\[1\]: 'h/2' is no dim",
    "schemas: {A: {validate: [n]}}": r":15: schemas\.A\.validate: schemas have a member of this name",
    "schemas: {A: {x: [n], y: 2.5}}": r":26: schemas\.A\.y: a literal is a word, a whole number",
    "schemas: {A: nothing_like_it}": r":14: schemas\.A: unknown schema 'nothing_like_it'",
    "schemas: {A: [n]}": r":14: schemas\.A: a mapping of fields is wanted, or the name of a registered schema; found",
    "schemas: {A-B: {x: [n]}}": r":11: schemas\.A-B: a name is made of letters, digits and _",
    "schemas: [A]": r":10: schemas: a mapping is wanted; found \['A'\]",
    "items: {schema: {image: LlavaImagePixlInputs}}": (
        r":25: items\.schema\.image: no schema 'LlavaImagePixlInputs' here or registered; did you mean 'LlavaImagePixel"
    ),
    "items: {schema: {image: [LlavaImagePixelInputs, Nothing]}}": r":49: items\.schema\.image: no schema 'Nothing' h",
    "items: {schema: {imag: LlavaImagePixelInputs}}": r":18: items\.schema\.imag: no tower 'imag' takes them; did you",
    "items: {schema: {image: []}}": r":25: items\.schema\.image: .* at least 1 item",
    "items: {schema: {image: 5}}": r":25: items\.schema\.image.*: input should be a valid string; found 5",
    "items: {schma: {image: A}}": r":9: items\.schma: unknown key 'schma'; did you mean 'schema'\?",
    "items: {schema: {image: A}}\nschemas: {A: {type: a, x: [n], y: [n]}}": (
        r":25: items\.schema\.image: A: a tower takes one tensor for an item; this schema has these .* fields: x, y"
    ),
    "items: {schema: {image: [A, B]}}\nschemas: {A: {type: a, x: [n]}, B: {type: a, x: [n]}}": (
        r":25: items\.schema\.image: B\.type: 'a' selects A already"
    ),
    "items: {schema: {image: [A, B]}}\nschemas: {A: {type: a, x: [n]}, B: {x: [n]}}": (
        r":25: items\.schema\.image: B\.type: no such field"
    ),
    "processor: nothing_like_it": r":12: processor: unknown processor 'nothing_like_it'",
    "dummy_inputs: nothing_like_it": r":15: dummy_inputs: unknown dummy inputs 'nothing_like_it'",
    "processor: 5": r":12: processor: input should be a valid string; found 5",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_at_its_place_with_a_config_and_without(text: str, validated: Validated) -> None:
    assert any(re.match(rf"my\.yaml:1{WRONG[text]}", line) for line in refused(text)), refused(text)
    found = validated(f"schema: 1\nbase: llava\n{text}\n")
    assert any(re.match(rf"my\.yaml:3{WRONG[text]}", line) for line in found), found


def test_every_mistake_of_the_schemas_is_told_at_once(validated: Validated) -> None:
    text = "schemas: {A: {x: [-1]}, B: nowhere, C: {validate: 1}}\nprocessor: p\ndummy_inputs: d\n"
    for found in (refused(text), validated(f"schema: 1\nbase: llava\n{text}")):
        for part in (r"A\.x\[0\]", "schemas.B", r"C\.validate", "processor: unknown", "dummy_inputs: unknown"):
            assert any(re.search(part, line) for line in found), part


def test_an_expression_that_gives_no_dim_is_told_with_its_place() -> None:
    (line,) = refused("schemas: {A: {x: [n, =config.hidden_size / 3]}}", "llama")
    assert line.startswith("my.yaml:1:22: schemas.A.x[1]: a dim is a whole number or a string, not 21.3")
    (line,) = refused("schemas: {A: {x: [n, =config.nowhere]}}", "llama")
    assert re.match(r"my\.yaml:1:22: schemas\.A\.x: .*the config has no nowhere", line)


def test_an_expression_names_only_what_has_a_meaning_there(validated: Validated) -> None:
    (line,) = validated("schema: 1\nbase: llava\nschemas: {A: {x: [=rows]}}\n")
    assert line == "my.yaml:3:19: schemas.A.x.0: '=rows': 'rows' has no meaning here; did you mean 'towers'?"


@pytest.mark.parametrize(
    "entry",
    [
        "{shape: [=config.a, n], dtype: =config.b}",
        "=config.a",
        "{shape: =config.a, dynamic: [n]}",
        "{literal: =config.a}",
    ],
)
def test_what_a_config_decides_is_no_mistake_before_there_is_one(entry: str, validated: Validated) -> None:
    assert validated(f"schema: 1\nbase: llama\nschemas: {{A: {{x: {entry}}}}}\n") == []


def test_a_config_key_that_only_a_towers_own_schema_reads_counts_as_read(tmp_path: Path) -> None:
    text = "schema: 1\nbase: clip_vision\nmodel_types: [mine]\nschemas: {Free: {x: [=config.depth]}}\n"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    vision = {**sample_config(load_named("llava")[1])["vision_config"], "depth": 3}
    changes = f"towers: {{image: {{spec: {tmp_path}/mine.yaml, config: =config.vision_config}}}}"
    assert planned(changes, vision_config=vision).items["image"].taken.__qualname__ == "LlavaImagePixelInputs"
