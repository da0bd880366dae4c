"""Checkpoints as they were released: other names than today's, and tensors that are no weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import triptych
from tests.parity.oracle import TOLERANCE, Oracle, build_oracle, rms_ratio, tiny_config

Tensors = dict[str, Tensor]


def with_norms_of_dense_layers(found: Tensors) -> Tensors:
    """A.X K1 has a norm after the MLP of layers without experts too, and does not use it."""
    return found | {"model.layers.0.post_mlp_layernorm.weight": torch.ones(64)}


def with_draft(found: Tensors) -> Tensors:
    """DeepSeek-V3 carries a layer past the last that predicts the token after next."""
    return found | {f"model.layers.61.{name}.weight": torch.ones(64) for name in ("enorm", "shared_head.norm")}


def with_rates(found: Tensors) -> Tensors:
    """Transformers' MiniMax saves how fast states fade, and what it makes of that."""
    names = ("slope_rate", "query_decay", "key_decay", "diagonal_decay")
    return found | {f"model.layers.{i}.self_attn.{name}": torch.ones(4, 1, 1) for i in (0, 2) for name in names}


RELEASED: Mapping[str, tuple[str, Callable[[Tensors], Tensors]]] = {
    "axk1": ("AXK1ForCausalLM", with_norms_of_dense_layers),
    "minimax_text_01": ("MiniMaxText01ForCausalLM", with_rates),
    "deepseek_v3": ("DeepseekV3ForCausalLM", with_draft),
}


def oracle_of(architecture: str, folder: Path) -> Oracle:
    config = tiny_config(architecture)
    assert config is not None
    return build_oracle(config, folder, seed=7)


@pytest.mark.parametrize("family", RELEASED)
def test_released_names_load(family: str, tmp_path: Path) -> None:
    architecture, rename = RELEASED[family]
    oracle = oracle_of(architecture, tmp_path)
    file = tmp_path / "model.safetensors"
    save_file(rename(load_file(file)), file)
    ids = oracle.random_ids(57, seed=1)
    found = triptych.load(tmp_path, dtype=torch.float32).logits(ids)
    assert rms_ratio(found, oracle.logits(ids)) <= TOLERANCE


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_checkpoint_in_half_precision_runs_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    oracle = oracle_of("LlamaForCausalLM", tmp_path)
    oracle.model.to(dtype).save_pretrained(tmp_path)
    oracle = oracle.rewritten(oracle.config)  # the rounded weights, in float32
    ids = oracle.random_ids(57, seed=1)
    found = triptych.load(tmp_path, dtype=torch.float32).logits(ids)
    assert rms_ratio(found, oracle.logits(ids)) <= TOLERANCE
