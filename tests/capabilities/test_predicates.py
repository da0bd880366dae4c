"""Predicates: pipeline stages, adapters and experts by their members, and layers that keep a state."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.capabilities.models import Experts, Picture, Staged, TextModel, Writer
from triptych.capabilities import (
    CapabilityWarning,
    IntermediateTensors,
    IsHybrid,
    MixtureOfExperts,
    SupportsLoRA,
    SupportsMultiModalPruning,
    SupportsPP,
    capability_report,
    get_mixture_of_experts_model,
    is_hybrid,
    is_mixture_of_experts,
    supports_lora,
    supports_multimodal_pruning,
    supports_pp,
)
from triptych.errors import CapabilityError, StageError

REFUSED = pytest.warns(CapabilityWarning, match="has supports_pp = True, and lacks what that needs: ")


def test_supports_pp_needs_the_factory_and_a_forward_that_names_intermediate_tensors() -> None:
    assert supports_pp(Staged)
    assert supports_pp(Staged())
    assert not supports_pp(TextModel)


def test_inheriting_the_interface_is_not_enough_for_supports_pp() -> None:
    class Inheriting(SupportsPP, TextModel):
        pass

    for model in (Inheriting, Inheriting()):
        with pytest.warns(CapabilityWarning, match=r"make_empty_intermediate_tensors, forward\(intermediate_tensors\)"):
            assert not supports_pp(model)


def test_a_catch_all_keyword_is_not_enough_for_supports_pp() -> None:
    class CatchAll(Staged):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return super().forward(*args, **kwargs)

    for model in (CatchAll, CatchAll()):
        with pytest.warns(CapabilityWarning, match=r"that needs: forward\(intermediate_tensors\)$"):
            assert not supports_pp(model)
        assert capability_report(model)["supports_pp"] == "contradicted"


class StagedByConstructor(TextModel, SupportsPP):
    """Its constructor takes the factory of an inner model, as its body says."""

    make_empty_intermediate_tensors: Any
    forward = Staged.forward

    def __init__(self, settings: object = None, prefix: str = "") -> None:
        super().__init__(settings, prefix)
        self.make_empty_intermediate_tensors = Staged().make_empty_intermediate_tensors


def test_a_factory_that_the_constructor_sets_is_a_real_attribute_of_the_instance_alone() -> None:
    assert supports_pp(StagedByConstructor())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not supports_pp(StagedByConstructor), "it is promised there, not proven"
    assert capability_report(StagedByConstructor)["supports_pp"] == "declared"
    assert capability_report(StagedByConstructor())["supports_pp"] == "verified"


def test_a_promise_without_the_flag_declares_nothing() -> None:
    class Annotated(TextModel):
        pooler: nn.Module

    assert capability_report(Annotated)["is_pooling_model"] == "absent"


def test_a_class_variable_that_is_only_annotated_is_no_promise_of_instances() -> None:
    class Annotated(TextModel):
        supports_lora = True
        embedding_modules: ClassVar[dict[str, str]] = {}
        packed_modules_mapping: ClassVar[dict[str, list[str]]]

    assert capability_report(Annotated)["supports_lora"] == "contradicted"


def test_a_factory_that_is_none_is_none() -> None:
    model = StagedByConstructor()
    model.make_empty_intermediate_tensors = None
    with REFUSED:
        assert not supports_pp(model)


def test_intermediate_tensors_are_read_by_key_or_slice() -> None:
    found = IntermediateTensors({"x": torch.arange(6).view(3, 2)})
    found["y"] = torch.arange(3)
    assert found[1:]["x"].tolist() == [[2, 3], [4, 5]]
    assert found[:1]["y"].tolist() == [0]
    assert len(found) == 2
    assert "x" in found
    assert [name for name, _ in found.items()] == ["x", "y"]
    with pytest.raises(StageError, match=r"the earlier stage sent no 'z'; known: x, y"):
        found["z"]


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_slice_of_intermediate_tensors_cuts_all_of_them_alike(start: int, stop: int) -> None:
    x, y = torch.arange(5), torch.arange(10).view(5, 2)
    cut = IntermediateTensors({"x": x, "y": y})[start:stop]
    assert torch.equal(cut["x"], x[start:stop])
    assert torch.equal(cut["y"], y[start:stop])


def test_supports_lora_on_a_class_needs_the_flag_and_both_tables() -> None:
    class Adapted(TextModel, SupportsLoRA):
        packed_modules_mapping: ClassVar[dict[str, list[str]]] = {"qkv": ["q", "k", "v"]}

    assert supports_lora(Adapted)
    assert supports_lora(Adapted())
    assert Adapted.embedding_modules == {}
    assert Adapted.lora_skip_prefixes == []
    assert not Adapted.is_3d_moe_weight
    assert not Adapted.is_non_gated_moe
    assert Adapted().lora_manager is None
    assert not supports_lora(TextModel)


@pytest.mark.parametrize("name", ["packed_modules_mapping", "embedding_modules"])
def test_supports_lora_warns_of_a_table_that_is_missing(name: str) -> None:
    tables = {"packed_modules_mapping": {}, "embedding_modules": {}, "supports_lora": True}
    del tables[name]
    with pytest.warns(CapabilityWarning, match=rf"lacks what that needs: {name}$"):
        assert not supports_lora(type("Flagged", (), tables))


def test_a_mixture_of_experts_has_every_member_and_a_layer_with_experts() -> None:
    model = Experts()
    assert is_mixture_of_experts(model)
    model.num_moe_layers = 0
    assert not is_mixture_of_experts(model)
    assert not is_mixture_of_experts(Experts), "its constructor is yet to count them"
    assert not is_mixture_of_experts(TextModel())


@pytest.mark.parametrize("name", ["expert_weights", "moe_layers", "num_redundant_experts"])
def test_a_mixture_of_experts_without_one_member_is_none(name: str) -> None:
    model = Experts()
    delattr(model, name)
    assert not is_mixture_of_experts(model)


def test_a_mixture_of_experts_that_writes_no_method_is_contradicted() -> None:
    class Inheriting(TextModel, MixtureOfExperts):
        pass

    assert capability_report(Inheriting)["is_mixture_of_experts"] == "contradicted"
    assert capability_report(Experts)["is_mixture_of_experts"] == "declared"
    assert capability_report(Experts())["is_mixture_of_experts"] == "verified"


def test_get_mixture_of_experts_model_is_the_model_else_its_language_model_else_nothing() -> None:
    model, picture = Experts(), Picture()
    assert get_mixture_of_experts_model(model) is model
    assert get_mixture_of_experts_model(picture) is None
    assert get_mixture_of_experts_model(Writer()) is None
    picture.text = model
    assert get_mixture_of_experts_model(picture) is model


def test_set_eplb_state_reaches_each_layer_and_rebuilds_the_weights() -> None:
    model = Experts()
    load, places, replicas = torch.zeros(2, 2), torch.zeros(2, 2, 1), torch.ones(2, 2)
    model.set_eplb_state(load, places, replicas)
    model.set_eplb_state(load, places, replicas)
    assert len(model.expert_weights) == 2, "written anew, not added to"
    for number, (layer, weights) in enumerate(zip(model.moe_layers, model.expert_weights, strict=True)):
        told = {"moe_layer_idx": number, "expert_load_view": load}
        assert layer.told == {**told, "logical_to_physical_map": places, "logical_replica_count": replicas}
        up, scale = weights
        assert up.dtype == torch.uint8, "one byte an element"
        assert up.data_ptr() == layer.up.data_ptr(), "a view"
        assert scale is layer.scale


def test_hybrid_copy_functions_are_the_same_under_each_type() -> None:
    class Jamba(nn.Module, IsHybrid):
        @classmethod
        def get_mamba_state_shape_from_config(cls, config: dict[str, int]) -> tuple[tuple[int, ...], ...]:
            return ((config["width"], 4),)

        @classmethod
        def get_mamba_state_copy_func(cls) -> tuple[Any, ...]:
            return (Tensor.copy_,)

    assert is_hybrid(Jamba)
    assert Jamba.get_mamba_state_copy_funcs(["mamba", "conv"]) == {"mamba": (Tensor.copy_,), "conv": (Tensor.copy_,)}


def test_pruning_methods_of_videos_have_a_default() -> None:
    class Pruning(Picture, SupportsMultiModalPruning):
        pass

    assert supports_multimodal_pruning(Pruning)
    assert Pruning.supported_video_pruning_methods == ("evs",)
    assert capability_report(Pruning)["supports_multimodal_pruning"] == "contradicted"


def test_a_report_reads_as_lines_and_knows_its_capabilities() -> None:
    report = capability_report(Staged)
    assert str(report) == "Staged\nverified       supports_pp"
    with pytest.raises(CapabilityError, match=r"unknown capability 'suports_pp'; did you mean 'supports_pp'\?"):
        report["suports_pp"]
