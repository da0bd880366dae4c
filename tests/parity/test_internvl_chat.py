"""InternVL as its makers' files have it is InternVL: other names of tensors, another config, the same numbers."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import triptych
from tests.parity.multimodal import Asked, Pair, all_cases
from tests.parity.oracle import TOLERANCE, rms_ratio
from triptych.assembly import assemble
from triptych.contrib_models.internvl import DEVIATION, MEAN
from triptych.errors import SpecError

CASES = {case.name: case for case in all_cases()}
NAMES = {  # as transformers' script that converts their files has them, the other way round
    r"vision_tower\.": "vision_model.",
    r"embeddings\.cls_token": "embeddings.class_embedding",
    r"embeddings\.position_embeddings": "embeddings.position_embedding",
    r"patch_embeddings\.projection": "patch_embedding",
    r"encoder\.layer\.": "encoder.layers.",
    r"attention\.projection_layer": "attn.proj",
    r"\.attention\.": ".attn.",
    r"lambda_(\d)": r"ls\1",
    r"layernorm_before": "norm1",
    r"layernorm_after": "norm2",
    r"multi_modal_projector\.layer_norm": "mlp1.0",
    r"multi_modal_projector\.linear_1": "mlp1.1",
    r"multi_modal_projector\.linear_2": "mlp1.3",
}
RELEASED = {  # InternVL3 8B, less what every file has
    "architectures": ["InternVLChatModel"],
    "downsample_ratio": 0.5,
    "dynamic_image_size": True,
    "force_image_size": 448,
    "llm_config": {
        **{
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "attention_dropout": 0.0,
            "hidden_act": "silu",
        },
        **{"hidden_size": 3584, "intermediate_size": 18944, "max_position_embeddings": 32768, "max_window_layers": 70},
        **{"num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4, "rms_norm_eps": 1e-06},
        **{"rope_scaling": {"factor": 2.0, "rope_type": "dynamic", "type": "dynamic"}, "rope_theta": 1000000.0},
        **{"sliding_window": None, "use_sliding_window": False, "vocab_size": 151674},
    },
    "max_dynamic_patch": 12,
    "min_dynamic_patch": 1,
    "model_type": "internvl_chat",
    "pad2square": False,
    "ps_version": "v2",
    "select_layer": -1,
    "template": "internvl2_5",
    "use_backbone_lora": 0,
    "use_llm_lora": 0,
    "use_thumbnail": True,
    "vision_config": {
        **{"architectures": ["InternVisionModel"], "attention_dropout": 0.0, "drop_path_rate": 0.1, "dropout": 0.0},
        **{"hidden_act": "gelu", "hidden_size": 1024, "image_size": 448, "intermediate_size": 4096},
        **{
            "initializer_factor": 1.0,
            "layer_norm_eps": 1e-06,
            "model_type": "intern_vit_6b",
            "norm_type": "layer_norm",
        },
        **{"num_attention_heads": 16, "num_channels": 3, "num_hidden_layers": 24, "patch_size": 14},
        **{"qk_normalization": False, "qkv_bias": True, "use_bfloat16": True, "use_flash_attn": True},
    },
}


def renamed(name: str) -> str:
    for pattern, other in NAMES.items():
        name = re.sub(pattern, other, name) if not name.startswith("language_model.") else name
    return name


def released(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Under their names, queries, keys and values of the tower in one."""
    found = {renamed(name): tensor for name, tensor in tensors.items()}
    for name in [name for name in found if ".attn.q_proj." in name]:
        pieces = [found.pop(name.replace("q_proj", f"{each}_proj")) for each in "qkv"]
        found[name.replace("q_proj", "qkv")] = torch.cat(pieces)
    return found


def config_of(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """A config of transformers as a config of their files."""
    vision = dict(theirs["vision_config"])
    for key, other in (("attention_bias", "qkv_bias"), ("use_qk_norm", "qk_normalization")):
        vision[other] = vision.pop(key, False)
    kept = (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "layer_norm_eps",
        "norm_type",
    )
    vision = {key: vision[key] for key in (*kept, "hidden_act", "qkv_bias", "qk_normalization") if key in vision}
    side, patch = theirs["vision_config"]["image_size"][0], theirs["vision_config"]["patch_size"][0]
    vision |= {"model_type": "intern_vit_6b", "image_size": side, "patch_size": patch}
    said = {key: RELEASED[key] for key in ("architectures", "model_type", "ps_version", "use_thumbnail")}
    limits = {"dynamic_image_size": True, "force_image_size": side, "max_dynamic_patch": 5}
    more = {"downsample_ratio": theirs["downsample_ratio"], "select_layer": theirs["vision_feature_layer"]}
    tied = {"tie_word_embeddings": theirs["tie_word_embeddings"], "image_token_id": theirs["image_token_id"]}
    return said | limits | more | tied | {"vision_config": vision, "llm_config": theirs["text_config"]}


@pytest.fixture(params=["internvl + qwen2", "biases in the tower, and normed heads"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """InternVL over Qwen 2.5, as it is or with what larger towers have, its processor set as theirs is."""
    case, folder = CASES["internvl + qwen2"], tmp_path_factory.mktemp("checkpoint")
    if request.param != case.name:
        tower = dict(case.config["vision_config"]) | {
            "attention_bias": True,
            "use_qk_norm": True,
            "norm_type": "rms_norm",
        }
        case = type(case)(request.param, case.family, {**case.config, "vision_config": tower})
    found = Pair.of(case, folder)
    images = found.processor.image_processor
    images.image_mean, images.image_std = MEAN, DEVIATION
    yield found
    shutil.rmtree(folder)


def theirs_in(folder: Path, pair: Pair) -> Any:
    """Ours, loaded from a folder as they release one."""
    save_file(released(load_file(pair.oracle.folder / "model.safetensors")), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_of(pair.oracle.config)), encoding="utf-8")
    pair.processor.tokenizer.save_pretrained(folder)
    return triptych.load(folder, dtype=torch.float32)


def test_their_files_give_the_prompts_and_numbers_of_the_reference(pair: Pair, folder: Path) -> None:
    ours = theirs_in(folder, pair)
    for images in (2, 0, 1):
        asked: Asked = pair.ask(images=images)
        text = asked.text.replace("<IMG_CONTEXT>", "<image>")
        (request,) = ours.requests(text, images=asked.images, raw=True)
        assert request.prompt.token_ids == asked.ids
        assert rms_ratio(ours.logits(asked.ids, images=asked.images), pair.wanted(asked)) <= TOLERANCE


def test_a_released_config_is_understood() -> None:
    found = assemble(None, RELEASED)
    assert found.tokens["image"].placeholder == 151667
    assert sum(p.numel() for p in found.module.towers["image"].parameters()) == 304_012_288  # type: ignore[union-attr]
    other = copy.deepcopy(RELEASED) | {"llm_config": {**RELEASED["llm_config"], "model_type": "qwen3", "head_dim": 128}}  # type: ignore[dict-item]
    del other["llm_config"]["architectures"]  # type: ignore[attr-defined]
    assert assemble(None, other).tokens["image"].placeholder == 151671


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ps_version": "v1"}, "`ps_version: 'v1'`; internvl_chat serves 'v2' only"),
        ({"use_thumbnail": False}, "`use_thumbnail: False`; internvl_chat serves True only"),
        ({"llm_config": {"architectures": ["InternLM2ForCausalLM"], "model_type": "internlm2"}}, "internlm2|InternLM2"),
    ],
)
def test_what_is_not_served_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        assemble(None, RELEASED | change)
