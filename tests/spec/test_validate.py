"""Mistakes of a spec, found without a config: all at once, in the order of the lines, with the nearest known name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.spec.conftest import Validated
from triptych.spec.catalog import catalog
from triptych.spec.validate import validate

CHILD = "schema: 1\nbase: llama\n"  # two lines; what a test adds begins on the third
WHOLE = """\
schema: 1
architectures: [Mine]
language_model:
  width: 8
  embed: {vocab: 9}
  layers: {count: 2, block: layer}
  norm: norm
blocks:
  layer: {mix: {norm: norm, mixer: mlp}}
parts:
  norm: {use: rms_norm, eps: 1e-5}
  mlp: {use: mlp, hidden: 16, activation: gelu}
"""


@pytest.mark.parametrize("name", catalog())
def test_every_registered_spec_is_valid(name: str) -> None:
    assert validate(catalog()[name].path) == []


def test_a_spec_without_bases_is_valid(validated: Validated) -> None:
    assert validated(WHOLE) == []


ONE = {
    # keys that are unknown, at every depth
    "langage_model: {}": r"3:1: langage_model: unknown key 'langage_model'; did you mean 'language_model'\?",
    "nothing_like_it: 1": r"3:1: nothing_like_it: unknown key 'nothing_like_it'; known: architectures, blocks, ",
    "language_model: {widht: 3}": r"3:18: language_model.widht: unknown key 'widht'; did you mean 'width'\?",
    "language_model: {layers: {cuont: 3}}": r"3:27: language_model.layers.cuont: .* did you mean 'count'\?",
    "language_model: {head: {tide: true}}": r"3:25: language_model.head.tide: .* did you mean 'tied'\?",
    "blocks: {layer: {mix: {nrom: norm}}}": r"3:24: blocks.layer.mix.nrom: unknown key 'nrom'; did you mean 'norm'\?",
    "parts: {attention: {reach: {windw: 3}}}": (
        r"3:29: parts.attention.reach.windw: unknown key 'windw'; did you mean 'window'\?"
    ),
    "parts: {attention: {windw: =config.x}}": r"3:21: .*: unknown key 'windw'; did you mean 'reach.window'\?",
    "parts: {attention: {qk_norm: {use: rms_norm, eps: 1, epps: 2}}}": (
        r"3:54: parts.attention.qk_norm.epps: unknown key 'epps'; did you mean 'eps'\?"
    ),
    "parts: {attention: {qk_norm: {use: rms_norm, epps: 2, eps: =config.norm_eps}}}": (
        r"3:46: parts.attention.qk_norm.epps: unknown key 'epps'"
    ),
    "parts: {attention: {qk_norm: {norm: norm, ovr: all, when: =config.x}}}": (
        r"3:43: parts.attention.qk_norm.ovr: unknown key 'ovr'; did you mean 'over'\?"
    ),
    "parts: {attention: {chunk: 8}}": r"3:21: parts.attention.chunk: unknown key 'chunk'; it stands under 'reach'",
    "parts: {attention: {chunk: =config.x}}": r"3:21: .*unknown key 'chunk'; it stands under 'reach'",
    # values of the wrong kind
    "parts: {attention: {heads: many}}": r"3:28: parts.attention.heads: input should be a valid integer.*found 'many'",
    "parts: {attention: {heads: 2.5}}": r"3:28: parts.attention.heads: .*integer.*; found 2\.5",
    "parts: {attention: {reach: {window: -3}}}": (
        r"3:37: parts.attention.reach.window: input should be greater than 0; found -3"
    ),
    "parts: {attention: {bias: perhaps}}": r"3:27: parts.attention.bias: .*boolean.*; found 'perhaps'",
    "parts: {attention: {qk_norm: {over: heads}}}": r"3:37: .*over: input should be 'head' or 'all'; found 'heads'",
    "parts: {mlp: {activation: sylu}}": r"3:27: parts.mlp.activation: unknown activation 'sylu'; did you mean 'silu'\?",
    "parts: {norm: {eps: .inf}}": r"3:21: parts.norm.eps: input should be a finite number; found inf",
    "parts: [norm]": r"3:8: parts: a mapping is wanted; found \['norm'\]",
    "parts: {norm: rms_norm}": r"3:15: parts.norm: a mapping is wanted; found 'rms_norm'",
    "blocks: {layer: {mix: attention}}": r"3:23: blocks.layer.mix: a mapping is wanted; found 'attention'",
    "blocks: {layer: {mix: {norm: 5}}}": r"3:30: blocks.layer.mix.norm: the name of a part is wanted.*; found 5",
    "blocks: {layer: {mix: {scale: big}}}": r"3:31: blocks.layer.mix.scale: .*number.*; found 'big'",
    "language_model: llama": r"3:17: language_model: a mapping is wanted; found 'llama'",
    "language_model: {layers: {count: 0}}": r"3:34: language_model.layers.count: .*greater than 0; found 0",
    "language_model: {layers: {block: [a]}}": r"3:34: language_model.layers.block: .*string; found \['a'\]",
    "architectures: Llama": r"3:16: architectures: input should be a valid list; found 'Llama'",
    "model_types: [1]": r"3:15: model_types.0: input should be a valid string; found 1",
    "config: {width: 5}": r"3:17: config.width: a key, a dotted key or an =expression is wanted.*; found 5",
    "defaults: [a]": r"3:11: defaults: a mapping is wanted; found \['a'\]",
    "inert: x": r"3:8: inert: input should be a valid list; found 'x'",
    "sample: 3": r"3:9: sample: a mapping is wanted; found 3",
    # names that lead nowhere
    "parts: {norm: {use: rms_nrm, eps: 1}}": r"3:21: parts.norm.use: unknown norm 'rms_nrm'; did you mean 'rms_norm'\?",
    "parts: {norm: {use: attention}}": (
        r"3:21: parts.norm.use: unknown norm 'attention'; known: gain, layer_norm, "
    ),
    "parts: {norm: {use: 5}}": r"3:21: parts.norm.use: a norm says `use` or `like`",
    "parts: {mlp: {use: mlp}}": r"3:20: parts.mlp.hidden: required, and not given",
    "blocks: {layer: {mix: {mixer: atention}}}": r"3:31: blocks.layer.mix.mixer: no 'atention' in parts; did you ",
    "blocks: {layer: {mix: {mixer: {like: atention}}}}": r"3:38: blocks.layer.mix.mixer.like: no 'atention' in parts",
    "blocks: {layer: {mix: {mixer: ='atention' if layer else 'mlp'}}}": r"3:31: .*mixer: no 'atention' in parts",
    "language_model: {layers: {block: lyer}}": r"3:34: .*layers.block: no 'lyer' in blocks; did you mean 'layer'\?",
    "language_model: {norm: nrm}": r"3:24: language_model.norm: no 'nrm' in parts; did you mean 'norm'\?",
    "parts: {attention: {qk_norm: nrm}}": r"3:30: parts.attention.qk_norm: no 'nrm' in parts; did you mean 'norm'\?",
    "parts: {attention: {qk_norm: {norm: nrm}}}": r"3:37: parts.attention.qk_norm.norm: no 'nrm' in parts; did you",
    "parts: {attention: {qk_norm: {norm: ='nrm' if config.x else None, over: all}}}": (
        r"3:37: parts.attention.qk_norm.norm: no 'nrm' in parts; did you mean 'norm'\?"
    ),
    "parts: {attention: {position: {use: roep, theta: =config.x}}}": (
        r"3:37: parts.attention.position.use: unknown position 'roep'; did you mean 'rope'\?"
    ),
    "parts: {norm: {like: [a]}}": r"3:22: parts.norm.like: `like` is the name of one of the parts, not \['a'\]",
    "parts: {norm: {like: =config.x}}": r"3:22: parts.norm.like: `like` is the name of one of the parts, not '=",
    "parts: {norm: {like: a}, a: {like: norm}}": r"3:36: parts.a.like: `like` leads round in a circle: norm -> a -> n",
    "blocks: {layer: {like: layer}}": r"3:24: blocks.layer.like: `like` leads round in a circle: layer -> layer",
    "parts: {a.b: {like: mlp}}": r"3:9: parts.a.b: a name is made of letters, digits and _",
    # what a branch is
    "blocks: {layer: {both: {norm: norm, parallel: {a: {mixer: mlp, parallel: {b: {mixer: mlp}}}}}}}": (
        r"3:74: blocks.layer.both.parallel.a.parallel: a member stands beside others; it has none within"
    ),
    # expressions
    "parts: {attention: {reach: {window: =confg.x}}}": (
        r"3:37: .*: '=confg.x': 'confg' has no meaning here; did you mean"
    ),
    "parts: {attention: {reach: {window: =rows}}}": (
        r"3:37: .*window: '=rows': 'rows' has no meaning here; known: config, layer"
    ),
    "parts: {attention: {reach: {window: =config.x.__class__}}}": (
        r"3:37: .*more than an expression may hold; register a part"
    ),
    "parts: {attention: {reach: {window: =1 +}}}": r"3:37: parts.attention.reach.window: '=1 \+': invalid syntax",
    # what nothing uses or reads
    "parts: {atention: {reach: {window: 3}}}": r"3:9: parts.atention: nothing uses the part 'atention'; did you mean",
    "parts: {more: {use: mlp, hidden: 2, activation: gelu}}": r"3:9: parts.more: nothing uses the part 'more'",
    "blocks: {other: {mix: {norm: norm, mixer: mlp}}}": r"3:10: blocks.other: nothing uses the block 'other'",
    "defaults: {hiden_size: 3}": r"3:12: defaults.hiden_size: nothing reads 'hiden_size'; did you mean 'hidden_size'\?",
    "config: {hiden_size: dim}": r"3:10: config.hiden_size: nothing reads 'hiden_size'; did you mean 'hidden_size'\?",
    # sub-models
    "towers: {image: {width: 3, spec: =config.v}}": r"3:17: towers.image: width beside `spec`; .* stands under `with`",
    "towers: {image: {with: {inert: [a]}}}": r"3:17: towers.image: `with` and `config` say more of a `spec`, which",
    "towers: {image: {spec: =config.v, with: {twer: {}}}}": r"3:42: towers.image.with.twer: unknown key 'twer'",
    "towers: {image: {spec: =config.v, with: {tower: {outptu: {}}}}}": r"3:50: .*tower.outptu: unknown key 'outptu'",
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), ONE.items(), ids=ONE)
def test_a_mistake_is_told_where_it_stands_and_with_what_would_do(
    text: str, message: str, validated: Validated
) -> None:
    found = validated(f"{CHILD}{text}\n")
    assert len(found) >= 1
    assert re.match(rf"my\.yaml:{message}", found[0]), found


def test_one_mistake_is_told_once_however_often_it_is_used(validated: Validated) -> None:
    assert validated(CHILD + "parts: {norm: {use: rms_nrm, eps: 1}}") == [
        "my.yaml:3:21: parts.norm.use: unknown norm 'rms_nrm'; did you mean 'rms_norm'?"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "parts: {attention: {windw: 3}}",
        "parts: {attention: {qk_norm: nrm}}",
        "parts: {attention: {qk_norm: {use: rms_nrm, eps: =config.norm_eps}}}",
        "blocks: {layer: {mix: {mixer: atention}}}",
        "blocks: {layer: {mix: {nrom: norm}}}",
        "language_model: {layers: {block: lyer}}",
        "parts: {norm: {use: rms_nrm, eps: 1}}",
    ],
)
def test_a_mistake_brings_no_others_in_its_train(text: str, validated: Validated) -> None:
    assert len(validated(CHILD + text)) == 1


MANY = """\
schema: 1
base: llama
model_types: [1]
langage_model: {}
blocks:
  layer:
    mix: {nrom: norm, mixer: atention}
parts:
  attention:
    heads: many
    windw: 3
    reach: {window: =confg.x}
    qk_norm: {use: rms_nrm, eps: =config.norm_eps}
  mlp: {use: gated_mlp, hidden: 0}
  norm: {use: rms_norm, eps: !x 1}
weights:
  head: 5
  drop: lm_head
head: 1
head: 2
"""


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_its_lines(validated: Validated) -> None:
    found = [re.match(r"my\.yaml:(\d+):\d+: (?:([\w.]+): )?", line) for line in validated(MANY)]
    assert all(found)
    assert [(int(m[1]), m[2]) for m in found if m] == [
        (3, "model_types.0"),
        (4, "langage_model"),
        (7, "blocks.layer.mix.nrom"),
        (7, "blocks.layer.mix.mixer"),
        (12, "parts.attention.reach.window"),
        (14, "parts.mlp.hidden"),
        (15, None),
        (17, "weights.head"),
        (18, "weights.drop"),
        (20, None),
        (20, "head"),
    ]


def test_mistakes_of_a_base_are_told_in_the_bases_file(validated: Validated) -> None:
    assert validated("base: other\nparts: {mlp: {hiden: 2}}", other=WHOLE.replace("eps", "epps")) == [
        "my.yaml:2:15: parts.mlp.hiden: unknown key 'hiden'; did you mean 'hidden'?",
        "other.yaml:11:15: parts.norm.eps: required, and not given",
        "other.yaml:11:25: parts.norm.epps: unknown key 'epps'; did you mean 'eps'?",
    ]


def test_a_base_that_is_not_there_hides_no_mistake_of_form(validated: Validated) -> None:
    assert [line.partition(": ")[0] for line in validated("base: lama\nfoo: 1\nparts: {norm: {eps: =confg.x}}")] == [
        "my.yaml:1:1",  # no schema
        "my.yaml:1:7",
        "my.yaml:2:1",
        "my.yaml:3:21",
    ]


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("schema: 1\n", r"my\.yaml:1:1: schema: a spec says which grammar it is written in; begin it with `schema: 1`"),
        ("  width: 8\n", r"my\.yaml:3:1: language_model.width: required, and not given"),
        ("  embed: {vocab: 9}\n", r"my\.yaml:3:1: language_model.embed: required, and not given"),
        ("vocab: 9", r"my\.yaml:5:10: language_model.embed.vocab: required, and not given"),
        ("count: 2, ", r"my\.yaml:6:3: language_model.layers.count: required, and not given"),
        (", block: layer", r"my\.yaml:6:3: language_model.layers.block: required, and not given"),
        (", mixer: mlp", r"my\.yaml:9:11: blocks.layer.mix: a branch has a `mixer`, or `parallel` members"),
        (", eps: 1e-5", r"my\.yaml:11:15: parts.norm.eps: required, and not given"),
        (", activation: gelu", r"my\.yaml:12:14: parts.mlp.activation: required, and not given"),
    ],
)
def test_what_is_required_and_left_out_is_named(left_out: str, message: str, validated: Validated) -> None:
    assert left_out in WHOLE
    found = validated(WHOLE.replace(left_out, "", 1))
    assert len(found) == 1
    assert re.match(message, found[0]), found


def test_a_fragment_may_leave_out_what_its_heirs_say(validated: Validated) -> None:
    fragment = "schema: 1\nparts:\n  moe: {use: mlp, hidden: =config.x, activation: gelu}\n"
    assert validated(fragment) == []
    assert validated("schema: 1\nlanguage_model: {norm: norm}\nparts: {norm: {use: rms_norm, eps: 1}}") == []


@pytest.mark.parametrize(
    "text",
    [
        "parts: {attention: {position: {like: rope, theta: =config.rope_base * 2}}}",  # inside a part, with expressions
        "parts: {attention: {position: ='rope' if layer % 4 else None}}",
        "parts: {more: {like: mlp}}\nblocks: {layer: {ffn: {mixer: ='more' if layer else 'mlp'}}}",
        "parts: {more: {like: mlp}}\nblocks: {layer: {ffn: {mixer: =config.kind}}}",  # any part may be meant
        "parts: {more: {use: mlp, hidden: 2, activation: gelu}, most: {like: more}}\n"
        "blocks: {layer: {ffn: {mixer: most}}}\nweights: {'layers.{i}': {ffn.mlp.gate_up: null}}",
        "blocks: {other: {like: layer}}\nlanguage_model: {layers: {block: ='other' if layer else 'layer'}}",
        "blocks: {other: {like: layer, ffn: null}}\nlanguage_model: {layers: {block: =config.layer_type}}",
        "parts: {attention: {qk_norm: {like: norm, eps: 1e-3}}}",
        "parts: {more: {like: norm, eps: 1}, attention: {qk_norm: {norm: ='more' if config.x else None, over: all}}}",
        "parts: {attention: {qk_norm: {over: all, values: {like: norm, weight: =config.x}}}}",
        "parts: {mlp: {use: =config.mlp_kind, hidden: 5, whatever: 1}}",  # a config's own word: nothing is known of it
    ],
)
def test_what_is_used_in_any_way_is_used(text: str, validated: Validated) -> None:
    found = validated(CHILD + text)
    assert not [line for line in found if "nothing uses" in line]


@pytest.mark.parametrize(
    "text",
    [
        "language_model: {norm: null}",
        "blocks: {layer: {ffn: {norm: null}}}",
        "blocks: {layer: {ffn: null}}",
        "parts: {attention: {position: null}, rope: null}",
        "parts: {attention: {reach: {window: null}}}",
        "weights: {head: null}",
        "config: {hidden_size: null}",
        "defaults: {hidden_size: null}",
        "sample: null",
    ],
)
def test_null_is_absent_everywhere(text: str, validated: Validated) -> None:
    found = [line for line in validated(CHILD + text) if "nothing uses" not in line]
    assert found == []


def test_a_file_that_is_no_yaml_mapping_is_one_mistake(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("[1, 2]", encoding="utf-8")
    assert [str(p) for p in validate(tmp_path / "my.yaml")] == [
        f"{tmp_path}/my.yaml:1:1: a spec is a mapping of keys to values, not [1, 2]"
    ]
