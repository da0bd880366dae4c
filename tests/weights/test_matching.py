"""What does not fit between a checkpoint and a model: all of it at once, by component, from headers alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.weights.loading import LLAMA, assembled, llama_tensors, matched
from triptych.assembly import assemble
from triptych.errors import SpecError, WeightMapError
from triptych.spec.catalog import load_named, sample_config
from triptych.weights import Checkpoint, check, match, tables

LAYER = "model.layers.0"


def told(tensors: dict[str, Tensor], folder: Path, changes: str = "", **config: Any) -> list[str]:
    """The findings as lines `fault: path: message`."""
    found = matched(assembled(changes=changes, **config), tensors, folder)
    return [f"{f.fault}: {f.path}: {f.message}" for f in found.findings]


def test_a_checkpoint_that_fits_leaves_nothing_to_say(tmp_path: Path) -> None:
    assert told(llama_tensors(), tmp_path) == []


def test_a_missing_tensor_is_named_with_the_nearest_that_nothing_takes(tmp_path: Path) -> None:
    tensors = llama_tensors()
    tensors[f"{LAYER}.self_attn.k_prj.weight"] = tensors.pop(f"{LAYER}.self_attn.k_proj.weight")
    assert told(tensors, tmp_path) == [
        "missing: layers.0.mix.attention.qkv.weight: nothing on disk under "
        f"'{LAYER}.self_attn.k_proj.weight'; did you mean '{LAYER}.self_attn.k_prj.weight'?",
        f"unexpected: {LAYER}.self_attn.k_prj.weight: on disk, and no row takes it",
    ]


def test_a_tensor_that_nothing_takes_is_unexpected(tmp_path: Path) -> None:
    extra = {"model.layers.2.input_layernorm.weight": torch.ones(8), "vision.weight": torch.ones(1)}
    assert told(llama_tensors() | extra, tmp_path) == [
        f"unexpected: {name}: on disk, and no row takes it" for name in extra
    ]


@pytest.mark.parametrize(
    ("name", "shape", "line"),
    [
        ("model.norm.weight", (9,), "norm.weight: [8] in the model; on disk model.norm.weight [9]"),
        ("model.norm.weight", (8, 1), "norm.weight: [8] in the model; on disk model.norm.weight [8, 1]"),
        ("model.norm.weight", (), "norm.weight: [8] in the model; on disk model.norm.weight []"),
        ("lm_head.weight", (8, 11), "head.weight: [11, 8] in the model; on disk lm_head.weight [8, 11]"),
        (
            f"{LAYER}.mlp.up_proj.weight",
            (7, 8),
            "layers.0.ffn.mlp.gate_up.weight: [12, 8] (6 + 6) in the model; on disk "
            f"{LAYER}.mlp.gate_proj.weight [6, 8], {LAYER}.mlp.up_proj.weight [7, 8]",
        ),
    ],
)
def test_a_tensor_of_another_shape_is_told_with_both_shapes(
    tmp_path: Path, name: str, shape: tuple[int, ...], line: str
) -> None:
    assert told(llama_tensors(**{name: shape}), tmp_path) == [f"wrong shape: {line}"]


def test_pieces_of_other_sizes_with_the_same_sum_do_not_fit(tmp_path: Path) -> None:
    """Queries of 4 rows and keys of 8 are as many rows as queries of 8 and keys of 4."""
    shapes = {f"{LAYER}.self_attn.{name}_proj.weight": (rows, 8) for name, rows in (("q", 4), ("k", 8))}
    (line,) = told(llama_tensors(**shapes), tmp_path)
    assert line.startswith("wrong shape: layers.0.mix.attention.qkv.weight: [16, 8] (8 + 4 + 4) in the model; on disk ")


def test_a_config_of_other_heads_does_not_fit_even_where_the_rows_do(tmp_path: Path) -> None:
    config = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4}
    assert len(told(llama_tensors(), tmp_path, **config)) == 0, "8 + 4 + 4 rows: the same matrices, read another way"
    config = {"num_attention_heads": 6, "num_key_value_heads": 1, "head_dim": 2}
    assert [line.partition(":")[0] for line in told(llama_tensors(), tmp_path, **config)] == ["wrong shape"] * 4


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    tensors = llama_tensors()
    tensors["model.norm.weight"] = torch.ones(8, dtype=torch.int8)
    assert told(tensors, tmp_path) == ["wrong dtype: norm.weight: model.norm.weight holds int8"]


def test_a_tensor_that_two_rows_read_is_doubly_matched(tmp_path: Path) -> None:
    text = "weights: {head: model.embed_tokens}"
    tensors = llama_tensors()
    del tensors["lm_head.weight"]
    (line,) = told(tensors, tmp_path, text)
    assert line == (
        "doubly matched: head.weight: 'model.embed_tokens.weight' on disk is read for embed.tokens.weight too"
    )


def test_a_tensor_that_one_row_reads_twice_is_doubly_matched(tmp_path: Path) -> None:
    text = "weights:\n  layers.{i}: {mix.attention.qkv: 'self_attn.{q,k,k}_proj'}"
    found = told(llama_tensors(), tmp_path, text)
    assert len([line for line in found if line.startswith("doubly matched: layers.0.mix.attention.qkv.weight")]) == 1
    assert f"unexpected: {LAYER}.self_attn.v_proj.weight: on disk, and no row takes it" in found


def test_a_parameter_without_a_row_is_told(tmp_path: Path) -> None:
    tensors = llama_tensors()
    del tensors["model.norm.weight"]
    assert told(tensors, tmp_path, "weights: {norm: null}") == [
        "unmapped: norm.weight: no row of the weights table stands for it"
    ]


def test_a_transform_that_cannot_be_is_a_wrong_shape(tmp_path: Path) -> None:
    text = "weights: {head: {from: lm_head, via: transpose}}"
    assert told(llama_tensors(), tmp_path, text) == [
        "wrong shape: head.weight: [11, 8] in the model; on disk lm_head.weight [11, 8]"
    ]


def test_of_two_that_are_absent_neither_is_guessed(tmp_path: Path) -> None:
    text = """
parts: {attention: {bias: true, out: {bias: false}}}
weights:
  layers.{i}:
    mix.attention.qkv.bias:
    - {from: self_attn.q_proj.bias, absent: 0}
    - {from: self_attn.k_proj.bias, absent: 0}
    - self_attn.v_proj.bias
"""
    biases = {f"model.layers.{i}.self_attn.v_proj.bias": torch.ones(4) for i in range(2)}
    found = told(llama_tensors() | biases, tmp_path, text)
    assert [line.partition(":")[0] for line in found] == ["wrong shape"] * 2
    assert "model.layers.0.self_attn.q_proj.bias absent" in found[0]


def wrong_in_many_ways() -> dict[str, Tensor]:
    tensors = llama_tensors(**{"lm_head.weight": (12, 8)})
    del tensors["model.norm.weight"]
    tensors["extra.weight"] = torch.ones(1)
    tensors[f"{LAYER}.input_layernorm.weight"] = torch.ones(8, dtype=torch.int64)
    return tensors


def test_all_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    found = matched(assembled(), wrong_in_many_ways(), tmp_path)
    assert {f.fault for f in found.findings} == {"missing", "unexpected", "wrong shape", "wrong dtype"}
    with pytest.raises(WeightMapError) as raised:
        check(found, checkpoint="folder")
    first, *lines = str(raised.value).splitlines()
    assert first == "folder: model: 4 tensors do not fit"
    assert len(lines) == 4


def test_findings_stand_by_component(tmp_path: Path) -> None:
    tree = load_named("llava")[1]
    model = assemble(tree, sample_config(tree))
    (tmp_path / "config.json").write_text("{}")
    tensors = {"vision_tower.odd.weight": torch.ones(1), "language_model.odd.weight": torch.ones(1)}
    with pytest.raises(WeightMapError) as raised:
        check(matched(model, tensors, tmp_path), checkpoint="folder")
    heads = [line for line in str(raised.value).splitlines() if line.startswith("folder: ")]
    assert [line.split(": ")[1] for line in heads] == ["language_model", "projectors.image", "towers.image"]
    assert "  ... and " in str(raised.value), "of many, some are counted only"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("null", r"my\.yaml:1:11: weights\.towers\.image: no row says under which name this sub-model's tensors are"),
        ("[a]", r"weights\.towers\.image: the beginning of a name is wanted, or old: new of several, not \['a'\]"),
        ("{a: {b: c}}", r"the beginning of a name is wanted, or old: new of several, not \{'a': \{'b': 'c'\}\}"),
        ("=config.image_token", r"the beginning of a name is wanted, or old: new of several, not 255"),
    ],
)
def test_a_sub_model_without_a_beginning_of_its_names_is_refused(row: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        tables(assembled("llava", f"weights: {{towers.image: {row}}}").plan.scopes)


def test_nothing_is_allocated_before_all_fits(tmp_path: Path) -> None:
    model = assembled()
    with pytest.raises(WeightMapError):
        check(matched(model, wrong_in_many_ways(), tmp_path), checkpoint="folder")
    assert all(parameter.is_meta for parameter in model.module.parameters())


def test_the_dry_run_reads_headers_alone(tmp_path: Path) -> None:
    found = matched(assembled(), llama_tensors(), tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")  # a value that matching would have to look at
    again = match(assembled().module, tables(assembled().plan.scopes), Checkpoint(tmp_path).tensors)
    assert found.shards == again.shards


def test_layers_past_the_ones_that_are_handed_out_need_no_tensors(tmp_path: Path) -> None:
    tree = load_named("llava")[1]
    model = assemble(tree, {**sample_config(tree), "vision_feature_layer": -2})
    names = {
        f"vision_tower.vision_model.encoder.layers.2.{n}.weight": torch.ones(32)
        for n in ("layer_norm1", "self_attn.q_proj")
    }
    found = matched(model, names | {"vision_tower.vision_model.encoder.layers.1.odd": torch.ones(1)}, tmp_path)
    assert set(names) <= set(found.unneeded)
    assert "vision_tower.vision_model.encoder.layers.1.odd" in {f.path for f in found.findings}


def test_a_checkpoint_of_other_names_altogether_is_told_in_no_time(tmp_path: Path) -> None:
    config = {**LLAMA, "num_hidden_layers": 150}
    names = {f"encoder.block.{i}.part.{n}.weight": torch.ones(1) for i in range(150) for n in "abcdefgh"}
    began = time.process_time()
    found = matched(assembled(**config), names, tmp_path)
    assert len(found.findings) > 2000
    assert time.process_time() - began < 10
