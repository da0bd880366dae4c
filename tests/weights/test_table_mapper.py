"""A spec's weights table and a mapper say the same of every name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, LlavaForConditionalGeneration

from tests.weights.loading import assembled, llama_tensors, matched
from triptych.assembly import Assembled, assemble
from triptych.errors import WeightMapError
from triptych.weights import AutoWeightsLoader, Checkpoint, Target, fill, mapper_of, match, plan, plan_of, tables

CONFIGS = Path(__file__).parent.parent / "tiny"
FAMILIES = ["Llama", "Phi3", "Mistral", "Qwen2", "Qwen3", "Gemma", "Gemma2", "Granite", "Olmo2", "Starcoder2"]
ARCHITECTURES = ["GPT2LMHeadModel", "LlavaForConditionalGeneration", *(f"{family}ForCausalLM" for family in FAMILIES)]


def written(architecture: str, folder: Path) -> Checkpoint:
    """What transformers writes for the tiny config of an architecture."""
    config = AutoConfig.for_model(**json.loads((CONFIGS / f"{architecture}.json").read_text(encoding="utf-8")))
    torch.manual_seed(0)
    llava = architecture == "LlavaForConditionalGeneration"
    model = LlavaForConditionalGeneration(config) if llava else AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    return Checkpoint(folder)


def filled(model: Assembled, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The parameters as the table fills them."""
    matching = match(model.module, tables(model.plan.scopes), checkpoint.tensors)
    fill(model.module, matching, device=torch.device("cpu"), dtype=None)
    return dict(model.module.state_dict())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_table_and_mapper_agree_on_every_name_and_load_the_same_values(architecture: str, tmp_path: Path) -> None:
    checkpoint = written(architecture, tmp_path)
    model = assemble(None, checkpoint.config)
    matching = match(model.module, tables(model.plan.scopes), checkpoint.tensors)
    mapper = mapper_of(matching.table, model.module)
    wanted, found = plan_of(matching), plan(checkpoint.tensors.keys(), model.module, mapper)
    assert wanted.findings == found.findings == ()
    assert found.mapped == wanted.mapped
    assert set(found.mapped) | set(found.dropped) == set(checkpoint.tensors)

    by_name = assemble(None, checkpoint.config).module.to_empty(device="cpu")
    AutoWeightsLoader(by_name).load_weights(load_file(tmp_path / "model.safetensors").items(), mapper=mapper)
    parameters = filled(model, checkpoint)
    assert parameters.keys() == by_name.state_dict().keys()
    assert all(torch.equal(tensor, parameters[name]) for name, tensor in by_name.state_dict().items())


def test_fused_parameters_are_shards() -> None:
    model = assembled()
    (table,) = tables(model.plan.scopes)
    mapper = mapper_of(table, model.module)
    path = "layers.1.mix.attention.qkv.weight"
    assert mapper.targets("model.layers.1.self_attn.v_proj.weight") == (Target(path, 2),)
    assert mapper.targets("model.norm.weight") == (Target("norm.weight"),)
    assert mapper.targets("model.layers.1.self_attn.rotary_emb.inv_freq") == ()
    other = "model.layers.1.self_attn.rotary_emb.inv_freqs"
    assert mapper.targets(other) == (Target(other),), "what is dropped is whole steps"


def test_released_names_that_no_parameter_takes_are_dropped_by_both(tmp_path: Path) -> None:
    model = assembled("gpt2")
    names = {f"h.{i}.attn.{name}": torch.ones(1) for i in range(2) for name in ("bias", "masked_bias")}
    released = next(table for table in tables(model.plan.scopes) if table.name == "released")
    mapper = mapper_of(released, model.module)
    assert mapper.apply_list(names) == []
    assert mapper.map_name("h.0.attn.c_attn.bias") == "layers.0.mix.attention.qkv.bias"
    assert set(plan_of(matched(model, names | {"wte.weight": torch.ones(256, 64)}, tmp_path)).dropped) == set(names)


def test_what_is_not_built_on_purpose_is_dropped_by_both(tmp_path: Path) -> None:
    model = assembled(tie_word_embeddings=True)
    matching = matched(model, llama_tensors(), tmp_path)
    assert plan_of(matching).dropped == ("lm_head.weight",)
    assert plan(llama_tensors(), model.module, mapper_of(matching.table, model.module)).dropped == ("lm_head.weight",)


def test_table_and_mapper_find_the_same_faults(tmp_path: Path) -> None:
    tensors = llama_tensors(**{"lm_head.weight": (12, 8)}) | {"extra.weight": torch.ones(1)}
    del tensors["model.norm.weight"], tensors["model.layers.0.self_attn.k_proj.weight"]
    model = assembled()
    wanted = plan_of(matched(model, tensors, tmp_path))
    found = plan(tensors, model.module, mapper_of(tables(model.plan.scopes)[0], model.module))
    assert found.unmatched == wanted.unmatched == ("extra.weight",)
    assert set(found.missing) == set(wanted.missing) == {"norm.weight", "layers.0.mix.attention.qkv.weight"}
    assert found.shape_mismatched == wanted.shape_mismatched == ("head.weight",)
    with pytest.raises(WeightMapError, match=r"folder: head: 1 tensors do not fit"):
        wanted.check("folder")


def test_the_models_own_names_stay() -> None:
    model = assembled()
    mapper = mapper_of(tables(model.plan.scopes)[0], model.module)
    names = list(model.module.state_dict())
    assert mapper.apply_list(names) == names


@pytest.mark.parametrize("tied", [False, True])
def test_a_head_whose_rows_are_labels_is_shared_with_the_embedding_it_is_tied_to(tied: bool, tmp_path: Path) -> None:
    labels = {"classifier_from_token": [3, 5], "method": "from_2_way_softmax"}
    tensors = {name: torch.randn(t.shape) for name, t in llama_tensors().items() if not (tied and "lm_head" in name)}
    config = {**assembled().plan.scopes[""].config.raw, "tie_word_embeddings": tied, **labels}
    models = [assemble("llama", config, convert="classify", overrides=['inert=["*"]']) for _ in range(2)]
    matching = matched(models[0], tensors, tmp_path)
    mapper = mapper_of(matching.table, models[1].module)
    assert plan_of(matching).mapped == plan(tensors.keys(), models[1].module, mapper).mapped
    fill(models[0].module, matching, device=torch.device("cpu"), dtype=None)
    AutoWeightsLoader(by_name := models[1].module.to_empty(device="cpu")).load_weights(tensors.items(), mapper=mapper)
    matrix = tensors["model.embed_tokens.weight" if tied else "lm_head.weight"]
    for module in (models[0].module, by_name):
        assert torch.equal(module.state_dict()["pooler.out.weight"], (matrix[5] - matrix[3])[None])
        assert torch.equal(module.state_dict()["embed.tokens.weight"], tensors["model.embed_tokens.weight"])
