"""In bfloat16 a model rounds where its reference rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

import triptych
from tests.parity.cases import Case, all_cases
from tests.parity.oracle import Oracle, build_oracle, rms_ratio
from triptych.capabilities import is_mixture_of_experts

FINAL_NORMS = ("norm", "ln_f", "norm_f", "final_layer_norm", "final_layernorm", "embedding_norm")


def is_theirs(case: Case) -> bool:
    """Whether the reference is as it was written, and by others: who writes one anew rounds where he likes."""
    return case.alias is None and all(hasattr(transformers, name) for name in case.config["architectures"])


SAMPLES = [pytest.param(case, id=case.spec) for case in all_cases() if case.name == "sample" and is_theirs(case)]


@pytest.fixture(params=SAMPLES)
def half(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Oracle, Oracle, Any]:
    """The same rounded weights in float32 in the reference, in bfloat16 in the reference, in bfloat16 in ours."""
    case: Case = request.param
    oracle = build_oracle(case.config, tmp_path, seed=case.seed)
    oracle.model.to(torch.bfloat16).save_pretrained(tmp_path)
    theirs = type(oracle.model).from_pretrained(tmp_path, dtype=torch.bfloat16, attn_implementation="eager")
    return oracle.rewritten(oracle.config), Oracle(theirs.eval(), tmp_path, oracle.config), triptych.load(tmp_path)


def test_rounding_costs_no_more_than_in_the_reference(half: tuple[Oracle, Oracle, Any]) -> None:
    exact, theirs, model = half
    error = typical if is_mixture_of_experts(model.module) else rms_ratio
    assert model.dtype == torch.bfloat16
    ids = exact.random_ids(57, seed=1)
    wanted = exact.logits(ids)
    assert error(model.logits(ids), wanted) < 1.5 * error(theirs.logits(ids).float(), wanted)


def typical(found: Tensor, wanted: Tensor) -> float:
    """The RMS ratio of the row in the middle: by rounding, a row may go to another of two experts nearly equal."""
    rows = (found - wanted).square().mean(-1) / wanted.square().mean(-1)
    return float(rows.median().sqrt())


@torch.inference_mode()
def test_norms_round_before_or_after_the_weight_as_in_the_reference(half: tuple[Oracle, Oracle, Any]) -> None:
    _, theirs, model = half
    width = model.module.width
    x = torch.randn(100, width, generator=torch.Generator().manual_seed(1)).bfloat16()
    base = theirs.model.base_model
    base = getattr(base, "decoder", getattr(base, "model", base))
    wanted = next(getattr(base, name) for name in FINAL_NORMS if hasattr(base, name))(x)
    assert rms_ratio(model.module.norm(x).float(), wanted.float()) < 1e-4  # another order gives 1e-3
