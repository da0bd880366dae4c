"""Rows between layers in float32, where a spec says so, beside weights in half precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from triptych import Stage
from triptych.assembly import assemble
from triptych.parts.step import Step
from triptych.spec.catalog import load_named, sample_config

CONFIG = {**sample_config(load_named("mamba")[1]), "num_hidden_layers": 3}


def built(dtype: torch.dtype = torch.bfloat16, **more: Any) -> Any:
    module = assemble(None, CONFIG | more).module.to_empty(device="cpu").to(dtype)
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data.normal_(generator=generator)
    return module


@torch.inference_mode()
def rows(module: Any) -> tuple[list[Tensor], Tensor]:
    """Those that come out of each layer, and those after the norm."""
    found: list[Tensor] = []
    for layer in module.layers:
        layer.register_forward_hook(lambda _layer, _given, given: found.append(given))
    step = Step.of([5])
    return found, module(torch.arange(5), step.positions, step=step)


@pytest.mark.parametrize(
    ("config", "dtype", "wanted"),
    [
        ({}, torch.bfloat16, torch.float32),
        ({"residual_in_fp32": False}, torch.bfloat16, torch.bfloat16),
        ({}, torch.float64, torch.float64),
    ],
)
def test_rows_between_layers_are_in_float32_where_the_config_says_so(
    config: dict[str, Any], dtype: torch.dtype, wanted: torch.dtype
) -> None:
    between, end = rows(built(dtype, **config))
    assert [each.dtype for each in between] == [wanted] * 3
    assert end.dtype == dtype


def test_the_norm_at_the_end_sees_them_in_float32() -> None:
    module = built()
    seen: list[torch.dtype] = []
    module.norm.register_forward_pre_hook(lambda _norm, given: seen.append(given[0].dtype))
    rows(module)
    assert seen == [torch.float32]


@torch.inference_mode()
def test_they_stay_so_between_the_stages_of_a_pipeline() -> None:
    whole = built()
    first, last = (assemble(None, CONFIG, stage=Stage(rank, 2)).module.to_empty(device="cpu") for rank in range(2))
    for stage in (first, last):
        stage.bfloat16().load_state_dict({name: whole.state_dict()[name] for name in stage.state_dict()})
    ids, step = torch.arange(5), Step.of([5])
    sent = first(ids, step.positions, step=step)
    assert sent["hidden_states"].dtype == torch.float32
    assert last(None, step.positions, step=step, intermediate_tensors=sent).equal(rows(whole)[1])
