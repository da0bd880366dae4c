"""gpt-oss as it was released: experts packed in numbers of four bits, which are unpacked while they are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, Mxfp4Config
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

import triptych
from tests.parity.oracle import LOOSE, Oracle, build_oracle, rms_ratio, tiny_config
from triptych.errors import SpecError, WeightMapError
from triptych.parts.transforms import Mxfp4
from triptych.weights import Checkpoint, fill, mapper_of, match, plan_of, tables

CPU = torch.device("cpu")
METHOD = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
EXPERTS = "model.layers.{}.mlp.experts.{}_proj"


def packed(shape: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Bytes [E, O, G, 16], and scales [E, O, G] around 2^-4."""
    drawn = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 256, (*shape, 16), generator=drawn, dtype=torch.uint8)
    return blocks, torch.randint(121, 126, shape, generator=drawn, dtype=torch.uint8)


@pytest.fixture
def oracle(tmp_path: Path) -> Oracle:
    """The reference, its experts what its own code makes of packed ones, which stand in its folder."""
    config = tiny_config("GptOssForCausalLM")
    assert config is not None
    oracle = build_oracle(config, tmp_path, seed=3)
    tensors = load_file(tmp_path / "model.safetensors")
    for layer in range(2):
        experts = oracle.model.model.layers[layer].mlp.experts
        for at, name in enumerate(("gate_up", "down")):
            matrices = getattr(experts, f"{name}_proj")
            count, wide, high = matrices.shape  # input by output
            blocks, scales = packed((count, high, wide // 32), 10 * layer + at)
            matrices.data.copy_(convert_moe_packed_tensors(blocks, scales, dtype=torch.float32))
            del tensors[key := EXPERTS.format(layer, name)]
            tensors |= {f"{key}_blocks": blocks, f"{key}_scales": scales}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    written = oracle.config | {"quantization_config": METHOD}
    (tmp_path / "config.json").write_text(json.dumps(written), encoding="utf-8")
    return oracle


def test_logits_are_those_of_the_reference(oracle: Oracle) -> None:
    ids = oracle.random_ids(57, seed=1)
    found = triptych.load(oracle.folder, dtype=torch.float32).logits(ids)
    assert rms_ratio(found, oracle.logits(ids)) <= LOOSE


def test_the_reference_unpacks_the_same_files_to_the_same(oracle: Oracle) -> None:
    how = {"quantization_config": Mxfp4Config(dequantize=True), "dtype": torch.float32, "attn_implementation": "eager"}
    theirs = AutoModelForCausalLM.from_pretrained(oracle.folder, **how).eval()
    ids = oracle.random_ids(23, seed=2)
    with torch.inference_mode():
        wanted = theirs(torch.tensor([ids]), use_cache=False).logits[0]
    assert rms_ratio(triptych.load(oracle.folder, dtype=torch.float32).logits(ids), wanted) <= LOOSE


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_every_byte_and_scale_is_what_the_reference_says(dtype: torch.dtype) -> None:
    blocks = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 8, -1, -1).contiguous()
    scales = torch.arange(8 * 16, dtype=torch.uint8).view(1, 8, 16) + 100  # 2^-27 and up
    wanted = convert_moe_packed_tensors(blocks, scales, dtype=dtype).transpose(1, 2)
    assert torch.equal(Mxfp4()(blocks, scales).to(dtype), wanted)


def test_as_stored_they_are_in_a_dtype_that_holds_them(oracle: Oracle) -> None:
    whole = triptych.load(oracle.folder, dtype=torch.float32).module.state_dict()
    half = triptych.load(oracle.folder, dtype=torch.bfloat16).module.state_dict()
    for name in [name for name in whole if name.endswith(("moe.gate_up", "moe.down"))]:
        assert torch.equal(half[name].float(), whole[name])
    checkpoint = Checkpoint(oracle.folder)
    model = triptych.assemble(None, checkpoint.config)
    fill(model.module, match(model.module, tables(model.plan.scopes), checkpoint.tensors), device=CPU, dtype=None)
    assert model.module.state_dict()["layers.1.ffn.moe.down"].dtype == torch.bfloat16


def test_names_without_their_beginning_are_read_beside_scales_without_it(oracle: Oracle) -> None:
    ids = oracle.random_ids(11, seed=4)
    wanted = triptych.load(oracle.folder, dtype=torch.float32, convert="embed").embed(ids)
    tensors = load_file(oracle.folder / "model.safetensors")
    bare = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name != "lm_head.weight"}
    save_file(bare, oracle.folder / "model.safetensors")
    config = Checkpoint(oracle.folder).config | {"architectures": ["GptOssModel"]}
    (oracle.folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert torch.equal(triptych.load(oracle.folder, dtype=torch.float32).embed(ids), wanted)


def test_scales_that_are_not_there_are_missed_by_name(oracle: Oracle) -> None:
    tensors = load_file(oracle.folder / "model.safetensors")
    del tensors["model.layers.1.mlp.experts.down_proj_scales"]
    save_file(tensors, oracle.folder / "model.safetensors")
    with pytest.raises(
        WeightMapError, match=r"missing: nothing on disk under 'model.layers.1.mlp.experts.down_proj_sc"
    ):
        triptych.load(oracle.folder)


def test_scales_of_another_shape_are_told(oracle: Oracle) -> None:
    tensors = load_file(oracle.folder / "model.safetensors")
    name = "model.layers.1.mlp.experts.down_proj_scales"
    tensors[name] = tensors[name][:, :-1].contiguous()
    save_file(tensors, oracle.folder / "model.safetensors")
    with pytest.raises(WeightMapError, match=r"wrong shape: .*down_proj_blocks"):
        triptych.load(oracle.folder)


def test_a_plan_names_bytes_and_scales_and_tensors_one_by_one_are_refused(oracle: Oracle) -> None:
    checkpoint = Checkpoint(oracle.folder)
    model = triptych.assemble(None, checkpoint.config)
    (table,) = [table for table in tables(model.plan.scopes) if not table.name]
    matching = match(model.module, [table], checkpoint.tensors)
    assert not matching.findings
    assert {*plan_of(matching).mapped} == {*checkpoint.tensors}
    with pytest.raises(WeightMapError, match=r"'model.layers.0.mlp.experts.gate_up_proj_blocks' is packed; only a f"):
        mapper_of(table, model.module)


def test_another_way_of_packing_is_refused() -> None:
    config = (tiny_config("GptOssForCausalLM") or {}) | {"quantization_config": {"quant_method": "fp8"}}
    with pytest.raises(SpecError, match=r"`quant_method: 'fp8'`; gpt_oss serves 'mxfp4' only"):
        triptych.assemble(None, config)
