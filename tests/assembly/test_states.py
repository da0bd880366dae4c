"""Models whose layers keep a state, as what plans memory sees them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from triptych.assembly import assemble
from triptych.assembly.experts import ExpertsModel
from triptych.assembly.model_class import model_class
from triptych.capabilities import capability_report, has_inner_state, is_attention_free, is_hybrid
from triptych.errors import SpecError
from triptych.parts.cache_needs import State
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.facts import model_info

SHAPES = {"bamba": ((192, 3), (8, 16, 16)), "jamba": ((128, 3), (128, 8)), "lfm2": ((64, 2),)}


def built(spec: str) -> tuple[Any, dict[str, Any]]:
    tree = load_named(spec)[1]
    config = {"architectures": [*tree["architectures"]], **sample_config(tree)}
    return assemble(tree, config).module, config


@pytest.mark.parametrize(("spec", "attends"), [("mamba", False), ("mamba2", False), ("jamba", True), ("lfm2", True)])
def test_what_a_spec_shows_is_true_of_what_is_built_and_of_its_class(spec: str, attends: bool) -> None:
    tree, (model, _) = load_named(spec)[1], built(spec)
    kind = model_class(tree, name=spec, architecture="Some")
    for each in (model, kind, model_info(tree, architecture="Some")):
        found = [getattr(each, name, False) for name in ("has_inner_state", "is_attention_free", "is_hybrid")]
        assert found == [True, not attends, attends]
    assert model_info(tree, architecture="Some").attn_type == ("hybrid" if attends else "attention_free")
    assert (has_inner_state(model), is_attention_free(model), is_hybrid(model)) == (True, not attends, attends)
    assert capability_report(model).contradictions == capability_report(kind).contradictions == ()
    assert capability_report(kind)["is_hybrid"] == ("verified" if attends else "absent")


def test_a_model_of_rows_alone_has_none_of_it() -> None:
    model, _ = built("llama")
    assert not any(tell(model) for tell in (has_inner_state, is_attention_free, is_hybrid))


@pytest.mark.parametrize("spec", SHAPES)
def test_shapes_of_a_state_are_those_that_the_cache_is_asked_for(spec: str) -> None:
    model, config = built(spec)
    kind: Any = model_class(load_named(spec)[1], name=spec, architecture="Some")
    assert model.get_mamba_state_shape_from_config(config) == SHAPES[spec]
    assert kind.get_mamba_state_shape_from_config(config) == SHAPES[spec]
    assert {need.shapes for need in model.cache_needs().values() if isinstance(need, State)} == {SHAPES[spec]}
    copies = kind.get_mamba_state_copy_func()
    assert len(copies) == len(SHAPES[spec])
    assert kind.get_mamba_state_copy_funcs(["mamba"]) == {"mamba": copies}
    to = torch.zeros(3)
    copies[0](torch.ones(3), to)
    assert to.tolist() == [1, 1, 1]


def test_a_config_without_a_layer_that_keeps_a_state_is_refused() -> None:
    model, config = built("lfm2")
    with pytest.raises(SpecError, match="no layer keeps a state"):
        model.get_mamba_state_shape_from_config(config | {"layer_types": ["full_attention"] * 2})


def test_a_hybrid_may_have_experts_too() -> None:
    model, _ = built("jamba")
    assert isinstance(model, ExpertsModel)
    assert is_hybrid(model)
    assert model.num_moe_layers == 2
