"""Checkpoints as they were released: in half precision. Their names: see `test_layouts.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import triptych
from tests.parity.oracle import TOLERANCE, build_oracle, rms_ratio, tiny_config


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_checkpoint_in_half_precision_runs_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    oracle = build_oracle(config, tmp_path, seed=7)
    oracle.model.to(dtype).save_pretrained(tmp_path)
    oracle = oracle.rewritten(oracle.config)  # the rounded weights, in float32
    ids = oracle.random_ids(57, seed=1)
    found = triptych.load(tmp_path, dtype=torch.float32).logits(ids)
    assert rms_ratio(found, oracle.logits(ids)) <= TOLERANCE
