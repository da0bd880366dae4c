"""A spec beside a config: typed parts in their places, layer by layer, and what the config is not served."""

from __future__ import annotations

import re
from typing import Any

import pytest

from triptych.errors import SpecError
from triptych.parts.attention_spec import AttentionSpec, HeadNorms
from triptych.parts.lending_attention_spec import LendingAttentionSpec
from triptych.parts.mlp_spec import GatedMlpSpec
from triptych.parts.norms_spec import LayerNormSpec, RmsNormSpec
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.document import parse_document
from triptych.spec.merge import merge
from triptych.spec.mixers import mixers_in
from triptych.spec.plan import ModelPlan, plan
from triptych.spec.stack import BranchPlan, StackPlan, mixers_of

LLAMA = load_named("llama")[1]
CONFIG = {**sample_config(LLAMA), "num_hidden_layers": 4}


def planned(changes: str = "", **config: Any) -> ModelPlan:
    """Llama with changes, for its own sample with others."""
    tree = merge(LLAMA, parse_document(changes, file="my.yaml"))
    return plan(tree, {**CONFIG, **config}, name="my")  # type: ignore[arg-type]


def stack(changes: str = "", **config: Any) -> StackPlan:
    found = planned(changes, **config).language_model
    assert found is not None
    return found


def branches(changes: str = "", **config: Any) -> list[BranchPlan]:
    """The first branch of each layer."""
    return [layer[0] for layer in stack(changes, **config).layers]


def mixers(changes: str = "", **config: Any) -> list[Any]:
    return [branch.mixer for branch in branches(changes, **config)]


def refused(changes: str = "", **config: Any) -> list[str]:
    with pytest.raises(SpecError) as raised:
        planned(changes, **config)
    return [str(problem) for problem in raised.value.problems]


def test_a_layer_is_planned_once_when_all_are_the_same() -> None:
    layers = stack().layers
    assert len(layers) == 4
    assert all(layer is layers[0] for layer in layers)


def test_layers_that_differ_in_a_number_share_the_parts_that_do_not() -> None:
    layers = stack("parts: {attention: {reach: {window: =8 if layer % 2 else None}}}").layers
    assert [layer[0].mixer.reach.window for layer in layers] == [None, 8, None, 8]  # type: ignore[union-attr]
    assert all(layer[1].mixer is layers[0][1].mixer for layer in layers)


def test_layers_may_differ_in_a_part() -> None:
    text = "parts: {local: {like: attention, reach: {window: 4}}}\n"
    text += "blocks: {layer: {mix: {mixer: ='local' if layer else 'attention'}}}"
    assert [mixer.reach.window for mixer in mixers(text)] == [None, 4, 4, 4]
    assert [branch.label for branch in branches(text)] == ["attention"] * 4  # the root of what it is like: its path


def test_layers_may_differ_in_the_block_by_the_configs_own_word() -> None:
    text = "language_model: {layers: {block: '=config.kinds[layer]'}}\nblocks: {bare: {like: layer, ffn: null}}"
    found = stack(text, kinds=["layer", "bare", "bare", "layer"]).layers
    assert [[branch.name for branch in layer] for layer in found] == [["mix", "ffn"], ["mix"], ["mix"], ["mix", "ffn"]]


def test_a_part_may_be_named_derived_or_inline_within_another_too() -> None:
    named, derived, inline = (
        mixers(f"parts: {{attention: {{qk_norm: {norm}}}}}")[0].qk_norm.norm
        for norm in ("norm", "{like: norm, offset: 1}", "{use: layer_norm, eps: =config.norm_eps}")
    )
    in_full = mixers("parts: {attention: {qk_norm: {norm: =config.named, over: all}}}", named="norm")[0].qk_norm
    assert in_full == HeadNorms(norm=named, over="all")
    assert named == RmsNormSpec(eps=1e-6)
    assert derived == RmsNormSpec(eps=1e-6, offset=1)
    assert inline == LayerNormSpec(eps=1e-6)


def test_a_chain_of_like_takes_the_nearest_value_of_each_key() -> None:
    chain = (
        "parts: {a: {like: b, reach: {window: 3}}, b: {like: c, reach: {window: 4}, scores: {softcap: 5.0}},"
        " c: {like: attention, scores: {softcap: 6.0}}}"
    )
    (found, *_) = mixers(f"{chain}\nblocks: {{layer: {{mix: {{mixer: a}}}}}}")
    assert isinstance(found, AttentionSpec)
    assert (found.reach.window, found.scores.softcap, found.heads) == (3, 5.0, 4)


def test_what_is_like_another_part_may_be_of_another_use() -> None:
    text = "parts: {other: {like: attention, use: lending_attention, leaves: here}}"
    (found, *_) = mixers(f"{text}\nblocks: {{layer: {{mix: {{mixer: other}}}}}}")
    assert isinstance(found, LendingAttentionSpec)
    assert (found.leaves, found.heads) == ("here", 4)


def test_a_chain_of_like_may_be_long() -> None:
    chain = ", ".join(f"p{n}: {{like: p{n + 1}}}" for n in range(40))
    found = stack(f"parts: {{{chain}, p40: {{like: mlp}}}}\nblocks: {{layer: {{ffn: {{mixer: p0}}}}}}").layers[0][1]
    assert isinstance(found.mixer, GatedMlpSpec)
    assert found.label == "mlp"


@pytest.mark.parametrize("text", ["null", "=None", "='norm' if config.sandwich else None"])
def test_a_norm_that_comes_to_null_is_absent(text: str) -> None:
    (branch, *_) = branches(f"blocks: {{layer: {{mix: {{norm: {text}}}}}}}", sandwich=False)
    assert branch.norm is None
    assert stack(f"language_model: {{norm: {text}}}", sandwich=False).norm is None


@pytest.mark.parametrize(("text", "scale"), [("0", 0.0), ("0.5", 0.5), ("null", 1.0), ("=config.none", 1.0)])
def test_a_branch_is_scaled_by_what_is_said(text: str, scale: float) -> None:
    assert branches(f"blocks: {{layer: {{mix: {{scale: {text}}}}}}}", none=None)[0].scale == scale


def test_what_a_use_by_an_expression_comes_to_is_typed() -> None:
    text = "parts: {norm: {use: ='layer_norm' if config.old else 'rms_norm', eps: 1}}"
    assert stack(text, old=True).norm == LayerNormSpec(eps=1)
    assert stack(text, old=False).norm == RmsNormSpec(eps=1)


@pytest.mark.parametrize(
    ("changes", "config", "message"),
    [
        ("", {"num_key_value_heads": 3}, r"llama.yaml:\d+:\d+: .*0.mix.mixer: 4 heads cannot share 3 kv_heads evenly"),
        ("", {"head_dim": 5}, r"llama.yaml:\d+:\d+: .*rope turns pairs of channels; 1.0 of a head of 5 are 5"),
        (
            "parts: {attention: {scores: {temperature: {use: alibi}}}}",
            {},
            r"scores.temperature: AlibiSpec adds to scores, and here positions turn heads",
        ),
        (
            "parts: {attention: {reach: {window: 4}, position: {use: alibi, form: scaled}}}",
            {},
            r"mixer: scaled ALiBi counts from the start of the sequence, which windows and chunks forget",
        ),
        ("parts: {attention: {position: {use: alibi, form: square}}}", {}, r"position.form: .*'linear', 'root' or"),
        ("parts: {rope: {fraction: 0.32}}", {}, r"rope turns pairs of channels; 0.32 of a head of 16 are 5"),
        ("", {"hidden_size": "wide"}, r"llama.yaml:\d+:\d+: language_model.width: .*integer.*; found 'wide'"),
        ("", {"hidden_size": 2**21}, r"language_model.width: .*less than or equal to 1048576; found 2097152"),
        ("", {"num_hidden_layers": 0}, r"language_model.count: .*greater than 0; found 0"),
        ("", {"num_hidden_layers": 20_000}, r"language_model.count: .*less than or equal to 10000; found 20000"),
        ("", {"hidden_act": "swoosh"}, r"llama.yaml:\d+:\d+: .*mixer.activation: unknown activation 'swoosh'"),
        ("", {"rms_norm_eps": "small"}, r"language_model.norm.eps: .*number.*; found 'small'"),
        ("", {"vocab_size": -1}, r"language_model.embed.vocab: .*greater than 0; found -1"),
        ("language_model: {width: =config.wide}", {}, r"my.yaml:1:25: language_model.width: .*the config has no wide"),
        ("language_model: {width: null}", {}, r":\d+:\d+: language_model.width: required, and not given"),
        ("language_model: {layers: {block: null}}", {}, r":\d+:\d+: .*: a block is named, not None"),
        ("language_model: {layers: {block: =config.b}}", {"b": 5}, r"my.yaml:1:34: .*: a block is named, not 5"),
        ("language_model: {layers: {block: =config.b}}", {"b": "lyer"}, r"no 'lyer' in blocks; did you mean 'layer'"),
        ("blocks: {layer: {mix: {mixer: =config.m}}}", {"m": "mpl"}, r"my.yaml:1:31: .*no 'mpl' in parts; did you me"),
        ("blocks: {layer: {mix: {mixer: =config.m}}}", {"m": 5}, r"a mixer is the name of a part or a mapping .*not 5"),
        ("blocks: {layer: {mix: {mixer: null}}}", {}, r"a branch has a `mixer`, or `parallel` members"),
        (
            "blocks: {layer: {mix: {scale: =config.s}}}",
            {"s": "x"},
            r"my.yaml:1:31: .*scale: a number is wanted, not 'x'",
        ),
        ("parts: {norm: {use: =config.kind, eps: 1}}", {"kind": "rms_nrm"}, r"my.yaml:1:21: .*unknown norm 'rms_nrm'"),
        (
            "parts: {attention: {reach: {window: =2 ** 99}}}",
            {},
            r"my.yaml:1:37: .*mixer.reach.window: '=2 \*\* 99': an exponent of 99",
        ),
        ("parts: {attention: {qk_norm: {use: rms_norm}}}", {}, r"my.yaml:1:36: .*mixer.qk_norm.eps: required, and not"),
    ],
)
def test_a_config_that_a_spec_cannot_serve_is_told_with_the_place(
    changes: str, config: dict[str, Any], message: str
) -> None:
    found = refused(changes, **config)
    assert any(re.search(message, line) for line in found), found


def test_all_that_is_wrong_with_a_config_is_told_at_once() -> None:
    found = refused(hidden_act="swoosh", rms_norm_eps="small", clip_qkv=8, num_key_value_heads=3, vocab_size=0)
    assert len(found) == 5
    for word in ("swoosh", "small", "clip_qkv", "4 heads cannot share 3", "vocab"):
        assert any(word in line for line in found), word


def test_a_mistake_in_every_layer_is_told_once() -> None:
    assert len(refused("parts: {attention: {reach: {window: =layer - 9}}}")) == 1


def test_a_key_that_nothing_reads_is_refused() -> None:
    (line,) = refused(clip_qkv=8)
    assert line.startswith(
        "config.clip_qkv: this config has `clip_qkv: 8`, which my.yaml does not read; numbers could be"
    )
    assert line.endswith("override with inert=[clip_qkv])")


def test_the_advice_names_all_keys_that_nothing_reads_and_holds() -> None:
    found = refused(clip_qkv=8, other={"a": 1})
    assert len(found) == 2
    assert all(line.endswith("override with inert=[clip_qkv, other])") for line in found)
    assert plan("llama", {**CONFIG, "clip_qkv": 8, "other": {"a": 1}}, overrides=["inert=[clip_qkv, other]"])


@pytest.mark.parametrize("value", [None, False, 0, 0.0, "", [], {}])
def test_a_key_that_is_neutral_may_be_read_by_nothing(value: Any) -> None:
    assert planned(clip_qkv=value)


@pytest.mark.parametrize("key", ["torch_dtype", "bos_token_id", "attention_dropout", "_name_or_path", "use_cache"])
def test_keys_that_never_change_a_number_may_be_read_by_nothing(key: str) -> None:
    assert planned(**{key: 7})


CHOICES = """
language_model: {layers: {block: ='layer' if config.dense else 'routed'}}
blocks:
  layer: {mix: {mixer: ='attention' if layer > 9 or config.all else 'other'}}
  routed: {like: layer, ffn: {mixer: wide}}
  unnamed: {like: layer, ffn: {mixer: far}}
parts:
  inner: {like: norm, eps: =config.inner_eps}
  other: {like: attention, scores: {softcap: =config.cap}, qk_norm: inner}
  wide: {like: mlp, hidden: =config.wide}
  far: {like: mlp, hidden: =config.far}
"""


@pytest.mark.parametrize("key", ["cap", "inner_eps", "wide"])
def test_what_only_a_part_or_block_reads_that_a_choice_passes_over_changes_nothing(key: str) -> None:
    assert planned(CHOICES, dense=True, all=True, **{key: 7})


@pytest.mark.parametrize(("key", "changes"), [("far", CHOICES), ("wide", CHOICES.replace("'routed'", "'layer'"))])
def test_what_only_a_part_or_block_reads_that_no_choice_has_is_refused(key: str, changes: str) -> None:
    (line,) = refused(changes, dense=True, all=True, **{key: 7})
    assert line.startswith(f"config.{key}: this config has `{key}: 7`, which my.yaml does not read")


def test_a_key_counts_as_read_by_an_expression_whichever_way_that_went() -> None:
    text = "parts: {attention: {reach: {window: \"=config.far if config.use_far else config['near']\"}}}"
    assert planned(text, use_far=True, far=8, near=4)


def test_a_key_behind_a_binding_counts_as_read_with_all_that_may_stand_in_for_it() -> None:
    assert planned(n_embd=64, num_kv_heads=2)


def test_a_long_value_is_told_in_short() -> None:
    (line,) = refused(clip_qkv=[1.5] * 100_000)
    assert len(line) < 500


@pytest.mark.parametrize("value", [0.5, 2])
def test_what_a_spec_requires_is_checked(value: Any) -> None:
    (line,) = refused("requires: {slope: [1, 3]}", slope=value)
    assert line == f"my.yaml:1:19: config.slope: this config has `slope: {value}`; my serves 1 or 3 only"


def test_a_key_that_is_required_may_be_absent_null_or_as_wanted() -> None:
    for config in ({}, {"slope": None}, {"slope": 3}):
        assert planned("requires: {slope: [1, 3]}", **config)
    assert planned("requires: {slope: null}", slope=None), "a child takes back what its base requires"


def test_a_spec_in_another_grammar_is_refused() -> None:
    assert refused("schema: 2") == ["my.yaml:1:9: schema: input should be 1; found 2"]


def test_mixers_inside_others_are_among_those_of_a_stack() -> None:
    tree = load_named("longcat_flash")[1]
    text = plan(tree, sample_config(tree)).language_model
    assert text is not None
    wanted = {"ShortcutExpertsSpec", "MlaSpec", "GatedMlpSpec", "MoeSpec"}
    assert {type(mixer).__name__ for mixer in mixers_of(text.layers)} == wanted
    assert {mixer.__name__ for mixer in mixers_in(tree)} == wanted
