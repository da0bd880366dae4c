"""What a spec alone says that its model can do, against the model that is built of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from triptych.assembly import assemble
from triptych.capabilities import CAPABILITIES, capability_report, get_score_type
from triptych.errors import CapabilityError, Problem, SpecError
from triptych.registry.model_info import ModelInfo
from triptych.spec.catalog import catalog, load_named, sample_config
from triptych.spec.conversion import converted
from triptych.spec.document import Tree, parse_document
from triptych.spec.facts import model_info
from triptych.spec.merge import load_tree
from triptych.spec.overrides import overridden
from triptych.spec.structure import check_structure
from triptych.spec.validate import validate

BUILDABLE = [name for name, spec in catalog().items() if spec.kind != "fragment"]
TEXT = [name for name in BUILDABLE if catalog()[name].kind == "language_model"]


def both(tree: Tree) -> tuple[ModelInfo, ModelInfo]:
    """The record of a spec, and that of the model which is built of its sample config."""
    built = assemble(tree, sample_config(tree)).module
    return model_info(tree, architecture="A"), ModelInfo.of(built, architecture="A")


@pytest.mark.parametrize("name", BUILDABLE)
def test_the_record_of_every_registered_spec_is_that_of_the_model_built_of_its_sample(name: str) -> None:
    said, built = both(load_named(name)[1])
    assert said == built
    tree = load_named(name)[1]
    report = capability_report(assemble(tree, sample_config(tree)).module)
    proven = {capability for capability, state in report.states.items() if state != "absent"}
    assert {c for c, state in capability_report(name).states.items() if state != "absent"} == proven
    assert report.contradictions == ()


SCORES = {
    "embed": "bi-encoder",
    "classify": "cross-encoder",
    "token_embed": "late-interaction",
    "token_classify": "bi-encoder",  # what a record says of a model that scores nothing
}


@pytest.mark.parametrize("conversion", SCORES)
@pytest.mark.parametrize("name", TEXT)
def test_a_converted_spec_has_the_record_of_the_converted_model(name: str, conversion: str) -> None:
    tree = load_named(name)[1]
    said = model_info(converted(tree, conversion, name=name), architecture="A")
    built = assemble(tree, sample_config(tree), convert=conversion).module
    assert said == ModelInfo.of(built, architecture="A")
    assert said.is_pooling_model
    assert not said.is_text_generation_model
    assert said.score_type == SCORES[conversion]


CHANGES = {
    ("llama", "pooler.take=mean"): {"is_pooling_model": True, "default_seq_pooling_type": "MEAN"},
    ("llama", "pooler.take=first"): {"default_seq_pooling_type": "CLS", "is_text_generation_model": True},
    ("llama", "pooler.take=max"): {"default_seq_pooling_type": "LAST", "is_pooling_model": True},
    ("llama", "language_model.head=null"): {"is_text_generation_model": False, "is_pooling_model": False},
    ("llama", "parts.attention.reach.causal=false"): {"attn_type": "encoder_only"},
    ("llama", "parts.attention.reach.causal==layer == 0"): {"attn_type": "decoder"},
    ("bert", "pooler=null"): {"is_pooling_model": False, "attn_type": "encoder_only"},
    ("bert", "parts.attention.reach.causal=null"): {"attn_type": "decoder", "default_seq_pooling_type": "CLS"},
    ("bert", "pooler.labels=3"): {"score_type": "cross-encoder"},
    ("clip_vision", "parts.attention.reach.causal=true"): {"attn_type": "decoder"},
    ("llava", "capabilities.has_noops=true"): {"supports_multimodal": True, "has_noops": True},
}


@pytest.mark.parametrize(("name", "override"), CHANGES)
def test_what_the_structure_shows_is_what_is_built(name: str, override: str) -> None:
    said, built = both(overridden(load_named(name)[1], [override]))
    assert said == built
    for field, value in CHANGES[name, override].items():
        assert getattr(said, field) == value, field


def tree_of(text: str) -> Tree:
    tree = parse_document(f"schema: 1\n{text}", file="f.yaml")
    check_structure(tree)
    return tree


HALF = """
language_model:
  width: 8
  embed: {vocab: 16}
  layers: {count: 4, block: %s}
  head: {}
blocks:
  one: {mix: {norm: norm, parallel: {a: {mixer: ahead}, b: {mixer: mlp}}}}
  two: {mix: {mixer: {like: ahead, reach: {causal: true}}}}
  three: {like: one}
parts:
  norm: {use: rms_norm, eps: 1}
  ahead: {use: attention, heads: 2, kv_heads: 2, head_dim: 4, reach: {causal: false}}
  mlp: {use: mlp, hidden: 8, activation: relu}
sample: {}
"""


@pytest.mark.parametrize(
    ("block", "wanted"),
    [
        ("one", "encoder_only"),
        ("three", "encoder_only"),
        ("two", "decoder"),
        ("='one' if layer % 2 else 'three'", "encoder_only"),
        ("='one' if layer % 2 else 'two'", "decoder"),
    ],
)
def test_attention_is_encoder_only_when_no_layer_that_is_used_attends_causally(block: str, wanted: str) -> None:
    said, built = both(tree_of(HALF % f'"{block}"'))
    assert said.attn_type == built.attn_type == wanted
    assert said.is_text_generation_model == built.is_text_generation_model is True, "a head may say nothing of itself"


def test_a_sub_model_by_name_is_looked_into_and_one_that_a_config_names_is_taken_to_write() -> None:
    of_bert = "language_model: {spec: bert, config: =config.text}\n"
    assert model_info(tree_of(of_bert), architecture="A").attn_type == "encoder_only"
    assert not model_info(tree_of(of_bert), architecture="A").is_text_generation_model
    changed = of_bert.replace("text}", "text, with: {parts: {attention: {reach: {causal: true}}}}}")
    assert model_info(tree_of(changed), architecture="A").attn_type == "decoder"
    anyone = model_info(tree_of("language_model: {spec: =config.text}\n"), architecture="A")
    assert (anyone.attn_type, anyone.is_text_generation_model) == ("decoder", True)


def problem(error: pytest.ExceptionInfo[SpecError | CapabilityError]) -> Problem:
    (found,) = error.value.problems
    return found


WRONG = {
    "capabilities: {supports_lore: true}": "2:16: capabilities.supports_lore: unknown capability 'supports_lore'; "
    "did you mean 'supports_lora'?",
    "capabilities: {zzz: true}": "2:16: capabilities.zzz: unknown capability 'zzz'; known: has_inner_state, has_noops",
    "capabilities: {has_noops: yes}": "2:27: capabilities.has_noops: input should be a valid boolean; found 'yes'",
    "capabilities: {has_noops: =config.x}": "2:27: capabilities.has_noops: input should be a valid boolean",
    "capabilities: [has_noops]": "2:15: capabilities: a mapping is wanted; found ['has_noops']",
    "language_model: {spec: llama, config: =config.t, with: {capabilities: {has_noops: true}}}": "2:57: "
    "language_model.with.capabilities: unknown key 'capabilities'",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_no_capability_is_told_at_its_place_with_the_nearest_name(line: str, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(f"schema: 1\n{line}\n")
    assert any(str(found).startswith(f"{file}:{WRONG[line]}") for found in validate(file)), validate(file)


def test_a_declared_capability_is_inherited_and_null_takes_it_back(tmp_path: Path) -> None:
    texts = {
        "a": "base: llama\ncapabilities: {has_noops: true, is_attention_free: true}\nsample: {}",
        "b": "base: a\ncapabilities: {is_attention_free: null, supports_eagle: true}",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(f"schema: 1\n{text}\n")
    said, built = both(load_tree(tmp_path / "b.yaml"))
    assert said == built
    assert (said.has_noops, said.is_attention_free, said.supports_eagle) == (True, False, True)


def test_flags_that_nothing_can_prove_are_declared_only_before_and_after_building() -> None:
    tree = overridden(load_named("llama")[1], ["capabilities.has_noops=true"])
    assert capability_report(tree)["has_noops"] == "declared only"
    assert capability_report(assemble(tree, sample_config(tree)).module)["has_noops"] == "declared only"


def test_a_spec_only_declares_and_the_model_that_is_built_of_it_verifies() -> None:
    report = capability_report("llava")
    assert (report.name, report["supports_multimodal"]) == ("llava", "declared")
    assert report["supports_lora"] == "absent"
    assert str(report).splitlines()[0] == "llava"
    tree = load_named("llava")[1]
    assert capability_report(tree).states == report.states
    assert capability_report(assemble(tree, sample_config(tree)).module)["supports_multimodal"] == "verified"
    with pytest.raises(SpecError, match="unknown spec 'lava'; did you mean 'llava'"):
        capability_report("lava")


PROVABLE = [name for name, row in CAPABILITIES.items() if row.needs]
HELD = {"supports_multimodal_embeddings", "supports_pp", "supports_eagle", "supports_eagle3"}


@pytest.mark.parametrize("name", [name for name in PROVABLE if name not in HELD])
def test_a_declared_flag_without_its_members_fails_at_assembly_at_its_place(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"schema: 1\nbase: llama\ncapabilities:\n  {name}: true\nsample: {{}}\n")
    tree = load_tree(file)
    with pytest.raises(CapabilityError) as caught:
        assemble(tree, sample_config(tree), name="mine")
    row = CAPABILITIES[name]
    absent = ", ".join(map(str, row.missing(assemble("llama", sample_config(load_named("llama")[1])).module)))
    assert absent
    assert str(caught.value) == (
        f"{file}:4:{len(name) + 5}: capabilities.{name}: mine declares it, and the built model lacks what that needs: "
        f"{absent}"
    )


def test_all_that_is_declared_wrongly_is_told_at_once() -> None:
    overrides = ["capabilities.supports_lora=true", "capabilities.supports_multimodal_embeddings=false"]
    tree = overridden(load_named("llama")[1], overrides)
    with pytest.raises(CapabilityError) as caught:
        assemble(tree, sample_config(tree), name="llama")
    first, second = str(caught.value).splitlines()
    assert first.endswith("lacks what that needs: packed_modules_mapping, embedding_modules")
    assert second.endswith("supports_multimodal_embeddings: llama denies it, and the built model has it")


def test_a_spec_has_one_kind_of_score() -> None:
    tree = overridden(load_named("bert")[1], ["capabilities.supports_late_interaction=true"])
    said, built = both(tree)
    assert said.score_type == built.score_type == "late-interaction"
    assert get_score_type(assemble(tree, sample_config(tree)).module) == "late-interaction"
    tree = overridden(tree, ["pooler.labels=2"])
    for ask in (lambda: model_info(tree, architecture="A"), lambda: assemble(tree, sample_config(tree))):
        with pytest.raises(CapabilityError, match="the score types 'cross-encoder' and 'late-interaction'"):
            ask()


def test_a_record_is_had_without_torch() -> None:
    code = """
import sys
from triptych.capabilities import capability_report
from triptych.spec.catalog import load_named
from triptych.spec.facts import model_info
for name in ("llama", "llava", "bert", "clip_vision"):
    model_info(load_named(name)[1], architecture="A")
    capability_report(name)
print({"torch", "triptych.parts.attention", "triptych.assembly"} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr
