"""A built model with experts, as what balances these sees it."""

# T rows, L layers with experts, E experts

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from triptych.assembly import assemble
from triptych.assembly.experts import ExpertsModel
from triptych.assembly.model_class import model_class
from triptych.capabilities import get_mixture_of_experts_model, is_mixture_of_experts
from triptych.errors import CapabilityError
from triptych.parts.step import Step
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.facts import model_info
from triptych.weights import fill_random

LAYERS, EXPERTS = 1, 4  # of the sample, one of whose two layers is without
CHOSEN = 2


def built(spec: str = "qwen3_vl_moe") -> Any:
    module = assemble(spec, sample_config(load_named(spec)[1])).module
    fill_random(module, seed=0, device=torch.device("cpu"), dtype=torch.float32)
    return module.get_language_model()


@torch.inference_mode()
def rows(model: Any) -> Tensor:
    step = Step.of([9])
    found: Tensor = model(torch.arange(9), step.positions, step=step)
    return found


def state(order: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    load = torch.zeros(LAYERS, EXPERTS, dtype=torch.int64)
    return load, torch.tensor(order).view(LAYERS, EXPERTS, 1), torch.ones(LAYERS, EXPERTS, dtype=torch.int64)


def test_the_language_model_inside_is_the_mixture_and_one_without_experts_is_none() -> None:
    whole = assemble("qwen3_vl_moe", sample_config(load_named("qwen3_vl_moe")[1])).module
    found = get_mixture_of_experts_model(whole)
    assert found is whole.get_language_model()
    assert (found.num_moe_layers, found.num_routed_experts, found.num_shared_experts) == (LAYERS, EXPERTS, 0)  # type: ignore[union-attr]
    assert not is_mixture_of_experts(built("qwen3_vl"))
    assert is_mixture_of_experts(built("qwen3_vl_moe"))


def test_groups_and_shared_experts_are_told() -> None:
    found = built("dots1")
    assert (found.num_expert_groups, found.num_shared_experts, found.num_routed_experts) == (4, 1, 8)


def test_a_model_of_text_alone_is_the_mixture_itself() -> None:
    found = built("mixtral")
    assert is_mixture_of_experts(found)
    assert (found.num_moe_layers, found.num_logical_experts) == (2, 4)
    info = model_info(load_named("mixtral")[1], architecture="MixtralForCausalLM")
    assert info.is_text_generation_model
    kind = model_class(load_named("mixtral")[1], name="mixtral", architecture="MixtralForCausalLM")
    assert issubclass(kind, ExpertsModel)


def test_rows_are_counted_at_the_experts_that_they_go_to() -> None:
    model, (load, places, replicas) = built(), state([0, 1, 2, 3])
    wanted = rows(model)
    model.set_eplb_state(load, places, replicas)
    assert [len(each) for each in model.expert_weights[0]] == [EXPERTS, EXPERTS]
    assert torch.equal(rows(model), wanted)
    assert int(load.sum()) == 9 * CHOSEN


def test_experts_in_another_order_give_the_same_rows() -> None:
    model, order = built(), [2, 0, 3, 1]
    wanted = rows(model)
    load, places, replicas = state(order)
    model.set_eplb_state(load, places, replicas)
    for weight in model.expert_weights[0]:
        moved = weight.clone()
        moved[order] = weight
        weight.data.copy_(moved)
    torch.testing.assert_close(rows(model), wanted)


def test_replicas_and_experts_elsewhere_are_refused() -> None:
    model, (load, places, replicas) = built(), state([0, 1, 2, 3])
    with pytest.raises(
        CapabilityError, match=r"layers.1.ffn.moe: each of 4 experts is here once, and none has replicas"
    ):
        model.set_eplb_state(load, places, 2 * replicas)
    with pytest.raises(CapabilityError, match="8 experts, 4 of them here; this model has 4, all of them here and once"):
        model.update_physical_experts_metadata(8, 4)
    model.update_physical_experts_metadata(4, 4)
