"""Layers spread over stages, components left out, and the names and numbers of layers."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from triptych.errors import OptionError, StageError, WeightMapError
from triptych.settings import Stage
from triptych.weights import (
    PPMissingLayer,
    StageMissingLayer,
    extract_layer_index,
    flatten_bn,
    get_layer_index,
    is_pp_missing_parameter,
    make_empty_intermediate_tensors_factory,
    make_layers,
    maybe_prefix,
)


class Named(nn.Module):
    """A layer that knows its name."""

    def __init__(self, *, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix
        self.weight = nn.Parameter(torch.ones(1))


def test_one_stage_has_all_layers_each_with_its_prefix() -> None:
    start, end, layers = make_layers(3, Named, "model.layers")
    assert (start, end) == (0, 3)
    assert [layer.prefix for layer in layers] == ["model.layers.0", "model.layers.1", "model.layers.2"]


def test_layers_outside_the_stage_are_identity_placeholders() -> None:
    start, end, layers = make_layers(5, Named, "layers", stage=Stage(1, 3))
    assert (start, end, len(layers)) == (2, 4, 5)
    assert [type(layer) for layer in layers] == [PPMissingLayer] * 2 + [Named] * 2 + [PPMissingLayer]
    assert [name for name, _ in layers.named_parameters()] == ["2.weight", "3.weight"]


def test_a_placeholder_returns_its_first_argument() -> None:
    layer, first = PPMissingLayer(), torch.ones(2)
    assert layer(first) is first
    assert layer(first, torch.zeros(2), residual=None) is first
    assert layer(hidden=first, residual=None) is first


@pytest.mark.parametrize(
    ("count", "size", "counts"),
    [
        (4, 1, [4]),
        (8, 4, [2, 2, 2, 2]),
        (9, 4, [2, 2, 3, 2]),
        (11, 4, [3, 3, 3, 2]),
        (2, 4, [0, 1, 1, 0]),
        (0, 2, [0, 0]),
    ],
)
def test_layers_left_over_go_to_the_stages_before_the_last(count: int, size: int, counts: list[int]) -> None:
    assert [len(Stage(rank, size).layers(count)) for rank in range(size)] == counts


@given(count=st.integers(0, 200), size=st.integers(1, 20))
def test_the_stages_have_every_layer_once_and_in_order(count: int, size: int) -> None:
    assert [i for rank in range(size) for i in Stage(rank, size).layers(count)] == list(range(count))


@pytest.mark.parametrize(("rank", "size"), [(1, 1), (-1, 2), (0, 0)])
def test_a_stage_that_is_not_there_is_refused(rank: int, size: int) -> None:
    with pytest.raises(OptionError, match=f"stage {rank} of {size}"):
        Stage(rank, size)


def test_layer_1_missing_is_not_layer_11_missing() -> None:
    model = nn.Module()
    model.layers = make_layers(12, Named, "layers", stage=Stage(1, 6))[2]
    missing = {i for i in range(12) if is_pp_missing_parameter(f"layers.{i}.mlp.up.weight", model)}
    assert missing == set(range(12)) - {2, 3}
    model.layers[11] = Named(prefix="layers.11")
    assert is_pp_missing_parameter("layers.1.weight", model)
    assert not is_pp_missing_parameter("layers.11.weight", model)


@pytest.mark.parametrize("name", ["layers.0", "layers", "layer.0.weight", "x", "layers.1.prefix.x", ""])
def test_names_that_are_not_below_a_placeholder_are_not_missing(name: str) -> None:
    model = nn.Module()
    model.layers = nn.ModuleList([PPMissingLayer(), Named(prefix="1")])
    assert not is_pp_missing_parameter(name, model)


def test_below_a_placeholder_all_is_missing() -> None:
    assert is_pp_missing_parameter("weight", PPMissingLayer())
    assert is_pp_missing_parameter("blocks.0.weight", StageMissingLayer("vision_tower", nn.Linear(1, 1)))


def left_out() -> StageMissingLayer:
    with torch.device("meta"):
        return StageMissingLayer("vision_tower", nn.Linear(3, 4))


def test_attribute_reads_go_to_the_absent_module() -> None:
    layer = left_out()
    assert layer.out_features == 4
    assert layer.weight.shape == (4, 3)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = layer.nothing


def test_calling_what_is_left_out_fails() -> None:
    with pytest.raises(StageError, match="the vision_tower is left out of this model") as raised:
        left_out()(torch.ones(1, 3))
    assert isinstance(raised.value, RuntimeError)


def test_what_is_left_out_has_no_parameters() -> None:
    model = nn.Sequential(nn.Linear(1, 1), left_out())
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert list(model.state_dict()) == ["0.weight", "0.bias"]
    assert len(list(model.modules())) == 3
    model.to_empty(device="cpu")
    assert model[1].weight.is_meta, "the absent module is left alone"


def test_what_is_left_out_can_be_copied_and_shown() -> None:
    assert copy.deepcopy(left_out()).out_features == 4
    assert repr(left_out()) == "StageMissingLayer(stage_name='vision_tower')"


def test_empty_intermediate_tensors_are_zeros_under_every_key() -> None:
    make = make_empty_intermediate_tensors_factory(["hidden_states", "residual"], 3)
    found = make(2, torch.bfloat16, torch.device("cpu"))
    assert list(found.tensors) == ["hidden_states", "residual"]
    for key in ("hidden_states", "residual"):
        assert torch.equal(found[key], torch.zeros(2, 3, dtype=torch.bfloat16))
        assert found[key].dtype == torch.bfloat16
    assert found[1:]["residual"].shape == (1, 3)
    assert found["residual"].data_ptr() != found["hidden_states"].data_ptr()


def test_a_prefix_stands_before_a_name_if_there_is_one() -> None:
    assert maybe_prefix("model", "layers") == "model.layers"
    assert maybe_prefix("", "layers") == "layers"


@pytest.mark.parametrize(
    ("name", "modules", "index"),
    [
        ("model.layers.12.self_attn", 1, 12),
        ("h.0", 1, 0),
        ("layers2.x.3y.4", 1, 4),
        ("layers.3.attn", 2, 6),
        ("layers.3.attn.1", 2, 7),
        ("layers.3.self_attn.1.o", 2, 7),
        ("layers.3.mlp", 2, 3),
    ],
)
def test_the_index_of_a_layer_is_the_number_in_its_name(name: str, modules: int, index: int) -> None:
    assert extract_layer_index(name, modules) == index


@pytest.mark.parametrize(
    ("name", "modules", "message"),
    [
        ("model.layers", 1, "exactly one number is wanted between dots, not 0"),
        ("layers.1.experts.2", 1, "exactly one number is wanted between dots, not 2"),
        ("layers.1.experts.2", 2, "exactly one number is wanted between dots, not 2"),
        ("layers.1.attn.2.head.3", 2, "one number, or two, is wanted between dots, not 3"),
        ("attn", 2, "one number, or two, is wanted between dots, not 0"),
    ],
)
def test_a_name_with_another_count_of_numbers_fails(name: str, modules: int, message: str) -> None:
    with pytest.raises(WeightMapError, match=f"^{re.escape(name)}: {message}"):
        extract_layer_index(name, modules)


@pytest.mark.parametrize(("index", "layers"), [(-1, 24), (-2, 23), (-25, 0), (0, 0), (24, 24)])
def test_a_negative_layer_index_counts_from_after_the_last(index: int, layers: int) -> None:
    assert get_layer_index(index, 24) == layers


@pytest.mark.parametrize("index", [25, -26])
def test_a_layer_index_past_either_end_fails(index: int) -> None:
    with pytest.raises(OptionError, match=f"hidden states {index} of 24 layers: -25 to 24 are there"):
        get_layer_index(index, 24)


def test_batches_of_items_become_rows() -> None:
    x = torch.arange(24).view(2, 3, 4)
    assert torch.equal(flatten_bn(x), x.view(6, 4))
    assert torch.equal(flatten_bn(x, concat=True), x.view(6, 4))
    ragged = [x[0], x[1, :2]]
    assert [row.tolist() for row in flatten_bn(ragged)] == x.view(6, 4)[:5].tolist()
    assert torch.equal(flatten_bn(ragged, concat=True), x.view(6, 4)[:5])
