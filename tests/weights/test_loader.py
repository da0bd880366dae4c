"""Tensors into models written by hand: where each goes, what is passed over, and all that is told."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from triptych.errors import WeightMapError
from triptych.parts.parameters import Linear
from triptych.weights import AutoWeightsLoader, PPMissingLayer, StageMissingLayer, WeightsMapper, WeightWarning

Weights = Iterable[tuple[str, Tensor]]
SPLIT = WeightsMapper(
    stacked={"q_proj": ("qkv", "q"), "k_proj": ("qkv", "k"), "v_proj": ("qkv", "v"), "kv_proj": ("qkv", ["k", "v"])}
)


class Block(nn.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.up = nn.Linear(width, 3, bias=False)
        self.norm = nn.LayerNorm(width)


class Model(nn.Module):
    """Two blocks between an embedding and a head."""

    def __init__(self, *, tied: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 2)
        self.layers = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(2, 5, bias=False)
        if tied:
            self.head.weight = self.embed.weight


def drawn(model: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Values for everything that the model saves, other than those it has."""
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randint(100, t.shape, generator=generator).to(t.dtype) for n, t in model.state_dict().items()}


def load(model: nn.Module, weights: dict[str, Tensor] | Weights, **settings: Any) -> set[str]:
    items = weights.items() if isinstance(weights, dict) else weights
    mapper = settings.pop("mapper", None)
    return AutoWeightsLoader(model, **settings).load_weights(items, mapper=mapper)


def holds(model: nn.Module, weights: dict[str, Tensor]) -> bool:
    found = model.state_dict()
    return all(torch.equal(found[name], tensor) for name, tensor in weights.items())


def told(model: nn.Module, weights: dict[str, Tensor] | Weights, **settings: Any) -> list[str]:
    with pytest.raises(WeightMapError) as raised:
        load(model, weights, **settings)
    return [line.strip() for line in str(raised.value).splitlines()]


def test_every_parameter_gets_its_tensor_and_the_names_come_back() -> None:
    model = Model()
    weights = drawn(model)
    assert load(model, weights) == set(weights)
    assert holds(model, weights)


def test_a_single_parameter_module_is_loaded_by_its_own_names() -> None:
    model = nn.Linear(2, 3)
    weights = drawn(model)
    assert load(model, weights) == {"weight", "bias"}
    assert holds(model, weights)


def test_weights_are_taken_in_one_pass() -> None:
    model = Model()
    weights = drawn(model)
    taken = []

    def once() -> Iterator[tuple[str, Tensor]]:
        for name, tensor in weights.items():
            assert all(torch.equal(model.state_dict()[n], weights[n]) for n in taken), "the last one is loaded by now"
            yield name, tensor
            taken.append(name)

    load(model, once())
    assert taken == list(weights)


@given(st.permutations(sorted(Model().state_dict())))
def test_weight_names_out_of_order_load_equal_to_in_order(names: list[str]) -> None:
    model = Model()
    weights = drawn(model)
    assert load(model, [(name, weights[name]) for name in names]) == set(weights)
    assert holds(model, weights)


def test_the_mapper_renames_first() -> None:
    model = Model()
    weights = drawn(model)
    named = {f"model.{name}": tensor for name, tensor in weights.items()} | {"draft.x": torch.ones(1)}
    assert load(model, named, mapper=WeightsMapper(prefix={"model.": "", "draft.": None})) == set(weights)
    assert holds(model, weights)


# A child's own `load_weights`


class Own(Block):
    """Takes what it is given in its own way, and keeps a list of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []

    def load_weights(self, weights: Weights) -> set[str]:
        found = dict(weights)
        self.calls.append(list(found))
        for name, tensor in found.items():
            self.get_parameter(name).data.copy_(tensor + 1)
        return set(found)


def with_block(block: nn.Module) -> Model:
    model = Model()
    model.layers[1] = block
    return model


def test_a_childs_own_load_weights_gets_its_group_first() -> None:
    block = Own()
    model = with_block(block)
    weights = drawn(model)
    assert load(model, weights) == set(weights)
    assert block.calls == [["up.weight", "norm.weight", "norm.bias"]]
    assert torch.equal(block.up.weight, weights["layers.1.up.weight"] + 1)
    assert torch.equal(model.layers[0].up.weight, weights["layers.0.up.weight"])  # type: ignore[union-attr]


def test_because_groups_are_consecutive_a_child_can_be_called_more_than_once() -> None:
    block = Own()
    model = with_block(block)
    weights = drawn(model)
    names = ["layers.1.up.weight", *(n for n in weights if not n.startswith("layers.1.")), "layers.1.norm.weight"]
    load(model, [(name, weights[name]) for name in [*names, "layers.1.norm.bias"]])
    assert block.calls == [["up.weight"], ["norm.weight", "norm.bias"]]


def test_remaining_names_are_loaded_generically() -> None:
    class First(Block):
        def load_weights(self, weights: Weights) -> set[str]:
            name, tensor = next(iter(weights))
            self.get_parameter(name).data.copy_(-tensor)
            return {name}

    model = with_block(First())
    weights = drawn(model)
    assert load(model, weights) == set(weights)
    assert holds(model, weights | {"layers.1.up.weight": -weights["layers.1.up.weight"]})


class Nested(Block):
    """As hand-written models do it: a loader of its own, with a mapper of its own."""

    def load_weights(self, weights: Weights) -> set[str]:
        mapper = WeightsMapper(substr={"fc": "up"})
        return AutoWeightsLoader(self, ignore_unexpected_prefixes=["odd"]).load_weights(weights, mapper=mapper)


def test_a_loader_inside_a_childs_load_weights_leaves_what_is_missing_to_the_call_around_it() -> None:
    model = with_block(Nested())
    weights = {name.replace("1.up", "1.fc"): tensor for name, tensor in drawn(model).items()}
    names = sorted(weights, key=lambda name: name.rpartition(".")[2])  # the block's come in several groups
    assert load(model, [(name, weights[name]) for name in names]) == set(model.state_dict())
    assert holds(model, drawn(model))


def test_faults_inside_a_child_are_told_with_all_others_by_their_whole_names() -> None:
    model = with_block(Nested())
    weights = drawn(model) | {"layers.1.strange.x": torch.ones(1), "layers.1.odd.x": torch.ones(1), "y": torch.ones(1)}
    del weights["layers.1.norm.bias"]
    found = told(model, weights)
    assert [line.split(": ")[0] for line in found] == [
        "Model",
        "layers.1.strange.x",
        "layers.1.norm.bias",
        "Model",
        "y",
    ]


def test_after_a_call_that_failed_the_next_one_stands_alone() -> None:
    model = with_block(Nested())
    told(model, {})
    block = model.layers[1]
    assert isinstance(block, Nested)
    with pytest.raises(WeightMapError, match="nothing is loaded to it"):
        block.load_weights([])


def test_a_child_that_returns_no_names_counts_as_loaded_with_a_warning() -> None:
    class Silent(Block):
        def load_weights(self, weights: Weights) -> None:
            for name, tensor in weights:
                self.get_parameter(name).data.copy_(tensor)

    model = with_block(Silent())
    weights = drawn(model)
    with pytest.warns(WeightWarning, match=r"^layers\.1: its load_weights returns no names"):
        assert load(model, weights) == set(weights)


# A parameter's `weight_loader`, shards and pieces


class Fused(nn.Module):
    """One matrix of three, of 4, 2 and 2 rows, with its author's way to load them."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(2, 8)
        for parameter in self.qkv.parameters():
            parameter.weight_loader = self.place  # type: ignore[attr-defined]

    def place(self, parameter: nn.Parameter, tensor: Tensor, shard: str | None = None) -> None:
        start, stop = {None: (0, 8), "q": (0, 4), "k": (4, 6), "v": (6, 8)}[shard]
        parameter.data[start:stop].copy_(tensor)


class Parted(nn.Module):
    """The same, of a part whose `pieces` say it all."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = Linear(2, 8, bias=True, pieces=(4, 2, 2)).to_empty(device="cpu")


def split(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint with q, k and v apart."""
    parts = {name: tensor.split([4, 2, 2]) for name, tensor in weights.items()}
    return {name.replace("qkv", f"{s}_proj"): t for name, three in parts.items() for s, t in zip("qkv", three)}  # noqa: B905


@pytest.mark.parametrize("make", [Fused, Parted])
def test_shards_stand_one_after_the_other_in_any_order(make: type[nn.Module]) -> None:
    weights = drawn(make())
    for order in (1, -1):
        model = make()
        assert load(model, list(split(weights).items())[::order], mapper=SPLIT) == {"qkv.weight", "qkv.bias"}
        assert holds(model, weights)


@pytest.mark.parametrize("make", [Fused, Parted])
def test_fused_names_present_in_the_checkpoint_load_whole(make: type[nn.Module]) -> None:
    model = make()
    weights = drawn(model)
    assert load(model, weights, mapper=SPLIT) == {"qkv.weight", "qkv.bias"}
    assert holds(model, weights)


def test_one_tensor_fills_each_shard_of_a_list() -> None:
    model = Parted()
    parts = split(drawn(model))
    weights = {n.replace("k_proj", "kv_proj"): t for n, t in parts.items() if "v_proj" not in n}
    load(model, weights, mapper=SPLIT)
    assert torch.equal(model.qkv.weight[4:6], model.qkv.weight[6:8])
    assert torch.equal(model.qkv.weight[6:8], parts["k_proj.weight"])


def test_a_tuple_fills_consecutive_pieces() -> None:
    model = Parted()
    weights = drawn(model)
    named = {n.replace("qkv", "q"): t[:4] for n, t in weights.items()}
    named |= {n.replace("qkv", "kv"): t[4:] for n, t in weights.items()}
    load(model, named, mapper=WeightsMapper(stacked={"q": ("qkv", 0), "kv": ("qkv", (1, 2))}))
    assert holds(model, weights)


@pytest.mark.parametrize("shard", ["q2", 3, -1, (0, 2), (2, 3)])
def test_a_shard_that_is_not_there_is_told(shard: Any) -> None:
    mapper = WeightsMapper(stacked={"odd": ("qkv", shard)})
    found = told(Parted(), drawn(Parted()) | {"odd.weight": torch.ones(2, 2)}, mapper=mapper)
    assert found[1] == (
        f"qkv.weight: wrong shape: no shard {shard!r} in it: it has no `weight_loader`, and its module states `pieces` "
        "(4, 2, 2)"
    )


def test_a_shard_of_what_has_neither_pieces_nor_a_weight_loader_is_told() -> None:
    mapper = WeightsMapper(stacked={"q": ("up", "q")})
    block = Block()
    weights = drawn(block)
    weights["q.weight"] = weights.pop("up.weight")
    assert "its module states no `pieces`" in told(block, weights, mapper=mapper)[1]


def test_pieces_that_nothing_is_loaded_to_are_told() -> None:
    parts = split(drawn(Parted()))
    for name in ("k_proj.weight", "v_proj.weight", "q_proj.bias"):
        del parts[name]
    assert told(Parted(), parts, mapper=SPLIT)[1:] == [
        "qkv.weight: missing: nothing is loaded to pieces 1, 2 of 3",
        "qkv.bias: missing: nothing is loaded to pieces 0 of 3",
    ]


def test_an_error_of_a_weight_loader_names_its_parameter() -> None:
    with pytest.raises(RuntimeError, match=r"expanded size|must match") as raised:
        load(Fused(), {"qkv.weight": torch.ones(3, 3)})
    assert raised.value.__notes__ == ["while qkv.weight was loaded"]


# What is passed over


@pytest.mark.parametrize("missing", [PPMissingLayer(), StageMissingLayer("block", Own())])
def test_missing_stages_consume_their_names_silently(missing: nn.Module) -> None:
    weights = drawn(Model())
    model = with_block(missing)
    assert load(model, weights | {"layers.1.odd.x": torch.ones(1)}) == {n for n in weights if "layers.1." not in n}


def test_layer_1_missing_is_not_layer_11_missing() -> None:
    model = nn.Module()
    model.layers = nn.ModuleList(PPMissingLayer() if i == 1 else nn.LayerNorm(1) for i in range(12))
    weights = {f"layers.{i}.{n}": torch.ones(1) for i in range(12) for n in ("weight", "bias")}
    assert load(model, weights) == {name for name in weights if not name.startswith("layers.1.")}


@pytest.mark.parametrize("name", ["head.bias", "layers.0.up.bias", "layers.0.other.bias", "bias", "embed.weight.bias"])
def test_an_unexpected_bias_is_ignored(name: str) -> None:
    model = Model()
    weights = drawn(model)
    assert load(model, {name: torch.ones(9), **weights}) == set(weights)


@pytest.mark.parametrize(
    "name",
    ["rotary_emb.inv_freq", "layers.0.rotary_emb.cos_cached", "rotary_emb.sin_cached", "rotary_pos_emb.inv_freq"],
)
def test_cached_rotary_tables_are_dropped(name: str) -> None:
    block = Own()
    model = with_block(block)
    load(model, {f"layers.1.{name}": torch.ones(1), **drawn(model)})
    assert block.calls == [["up.weight", "norm.weight", "norm.bias"]], "a child does not see them"


def test_what_only_looks_like_a_rotary_table_is_not_dropped() -> None:
    assert "my_rotary_emb.inv_freq: unexpected" in "\n".join(told(Model(), {"my_rotary_emb.inv_freq": torch.ones(1)}))


@pytest.mark.parametrize(
    ("settings", "ignored", "other"),
    [
        ({"ignore_unexpected_prefixes": ["layers.1"]}, "layers.1.extra", "layers.0.extra"),
        ({"ignore_unexpected_prefixes": ["visual."]}, "visual.layers.0.weight", "model.visual.weight"),
        ({"ignore_unexpected_suffixes": [".k_scale", "_zero"]}, "layers.0.k_scale", "layers.0.q_scale"),
        ({"ignore_unexpected_suffixes": [".k_scale", "_zero"]}, "layers.0.up.weight_zero", "layers.0._zeros"),
    ],
)
def test_unexpected_names_with_those_ends_are_ignored(settings: dict[str, list[str]], ignored: str, other: str) -> None:
    weights = drawn(Model())
    load(Model(), {ignored: torch.ones(1), **weights}, **settings)
    _, line = told(Model(), {ignored: torch.ones(1), other: torch.ones(1), **weights}, **settings)
    assert line.startswith(f"{other}: unexpected")


def test_a_prefix_is_whole_steps() -> None:
    model = Model()
    weights = {"layers.11.x": torch.ones(1), **drawn(model)}
    assert "layers.11.x: unexpected" in "\n".join(told(model, weights, ignore_unexpected_prefixes=["layers.1"]))


def test_what_is_ignored_when_unexpected_is_loaded_when_it_is_there() -> None:
    model = Model()
    weights = drawn(model)
    load(model, weights, ignore_unexpected_prefixes=["layers"], ignore_unexpected_suffixes=["weight", ".bias"])
    assert holds(model, weights)


def test_persistent_buffers_and_batch_norm_statistics_load_like_parameters() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2))
    model.register_buffer("table", torch.zeros(3))
    weights = drawn(model)
    assert load(model, weights) == {*weights} >= {"table", "0.running_mean", "0.running_var", "0.num_batches_tracked"}
    assert holds(model, weights)


def test_buffers_that_are_not_saved_are_no_place_for_a_tensor() -> None:
    model = nn.Linear(1, 1)
    model.register_buffer("cache", torch.zeros(3), persistent=False)
    assert told(model, drawn(model) | {"cache": torch.ones(3)})[1].startswith(
        "cache: unexpected: on disk, and no param"
    )


def test_buffers_may_be_missing() -> None:
    model = nn.BatchNorm1d(2)
    assert load(model, {"weight": torch.ones(2), "bias": torch.ones(2)}) == {"weight", "bias"}


# Tied parameters


def test_of_tied_parameters_the_first_name_loads_and_aliases_are_skipped() -> None:
    for order in (1, -1):
        model = Model(tied=True)
        weights = drawn(model) | {"embed.weight": torch.full((5, 2), 3.0), "head.weight": torch.full((5, 2), 4.0)}
        assert load(model, list(weights.items())[::order]) == set(weights) - {"head.weight"}
        assert torch.equal(model.head.weight, torch.full((5, 2), 3.0))


def test_without_the_alias_a_tied_model_is_whole() -> None:
    model = Model(tied=True)
    weights = drawn(model)
    del weights["head.weight"]
    assert load(model, weights) == set(weights)


def test_an_alias_seen_while_its_first_name_never_loads_fails() -> None:
    weights = drawn(Model(tied=True))
    del weights["embed.weight"]
    assert told(Model(tied=True), weights)[1:] == [
        "embed.weight: missing: nothing is loaded to it; head.weight, which is the same parameter, is there, and only "
        "its first name loads"
    ]


def test_a_module_that_stands_in_two_places_has_one_first_name() -> None:
    model = nn.Module()
    model.a = nn.Linear(1, 1)
    model.b = model.a
    weights = drawn(model)
    assert set(weights) == {"a.weight", "a.bias", "b.weight", "b.bias"}
    assert load(model, weights) == {"a.weight", "a.bias"}
    assert torch.equal(model.b.weight, weights["a.weight"])


# What is told


def test_an_unknown_name_fails_with_the_nearest_names_first() -> None:
    weights = drawn(Model()) | {"layers.1.pu.weight": torch.ones(3, 2)}
    head, line = told(Model(), weights)
    assert head == "Model: layers: 1 tensors do not fit"
    assert line.startswith(
        "layers.1.pu.weight: unexpected: on disk, and no parameter is called that; nearest: layers.1.up.weight, layers."
    )


def test_a_name_below_a_parameter_fails() -> None:
    weights = drawn(Model()) | {"embed.weight.scale": torch.ones(1)}
    assert told(Model(), weights)[1] == (
        "embed.weight.scale: unexpected: on disk, and embed.weight is a parameter, which has nothing below it"
    )


def test_the_name_of_a_module_alone_is_no_parameter() -> None:
    assert "layers.0: unexpected" in "\n".join(told(Model(), drawn(Model()) | {"layers.0": torch.ones(1)}))


def test_a_tensor_of_another_shape_is_told_and_never_broadcast() -> None:
    weights = drawn(Model()) | {"head.weight": torch.ones(1, 2)}
    assert told(Model(), weights)[1:] == ["head.weight: wrong shape: [5, 2] in the model; on disk [1, 2]"]


def test_one_number_may_have_any_shape() -> None:
    model = nn.Module()
    model.scale = nn.Parameter(torch.zeros(()))
    load(model, {"scale": torch.full((1, 1), 3.0)})
    assert model.scale == 3


def test_parameters_never_loaded_are_told_by_component_with_those_skipped_on_purpose() -> None:
    model = with_block(PPMissingLayer())
    model.tower = StageMissingLayer("vision_tower", Block())
    weights = drawn(model)
    for name in ("embed.weight", "layers.0.norm.weight", "layers.0.norm.bias"):
        del weights[name]
    assert told(model, weights) == [
        "Model: embed: 1 tensors do not fit",
        "embed.weight: missing: nothing is loaded to it",
        "Model: layers: 2 tensors do not fit",
        "layers.0.norm.weight: missing: nothing is loaded to it",
        "layers.0.norm.bias: missing: nothing is loaded to it",
        "Model: skipped on purpose: layers.1, tower",
    ]


def test_of_many_findings_some_are_counted_only() -> None:
    found = told(Model(), drawn(Model()) | {f"layers.9.{i}": torch.ones(1) for i in range(25)})
    assert found[0] == "Model: layers: 25 tensors do not fit"
    assert found[-1] == "... and 5 more"
    assert sum("nearest" in line for line in found) == 10


def test_a_model_without_memory_is_refused() -> None:
    with torch.device("meta"):
        model = Model()
    with pytest.raises(WeightMapError, match=r"^embed\.weight: on the meta device, without memory"):
        load(model, drawn(Model()))


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float64),
        (torch.float8_e4m3fn, torch.float16),
        (torch.float8_e5m2, torch.bfloat16),
        (torch.int8, torch.int32),
        (torch.uint8, torch.int16),
        (torch.bool, torch.float32),
    ],
)
def test_exact_widening_says_nothing(stored: torch.dtype, kept: torch.dtype) -> None:
    model = nn.Module()
    model.table = nn.Parameter(torch.zeros(2, dtype=kept), requires_grad=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(model, {"table": torch.ones(2).to(stored)})
    assert model.table.tolist() == [1, 1]
    assert model.table.dtype == kept


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        (torch.float32, torch.bfloat16),
        (torch.float16, torch.bfloat16),
        (torch.bfloat16, torch.float16),
        (torch.float8_e4m3fn, torch.float8_e5m2),
        (torch.float8_e4m3fn, torch.float8_e4m3fnuz),  # of less range
        (torch.float8_e4m3fnuz, torch.float8_e4m3fn),  # whose least number is larger
        (torch.int8, torch.uint8),
        (torch.int64, torch.int32),
        (torch.uint8, torch.int8),
        (torch.int64, torch.float32),
        (torch.complex64, torch.complex128),
    ],
)
def test_a_dtype_difference_warns(stored: torch.dtype, kept: torch.dtype) -> None:
    model = nn.Module()
    model.table = nn.Parameter(torch.zeros(2, dtype=kept), requires_grad=False)
    text = f"table: from {stored} to {kept}, which need not hold the values"
    with pytest.warns(WeightWarning, match=f"^{re.escape(text)}$"):
        load(model, {"table": torch.ones(2).to(stored)})


def test_one_warning_is_for_all_tensors_of_a_dtype() -> None:
    model = Model().to(torch.bfloat16)
    weights = drawn(Model())
    with pytest.warns(WeightWarning, match=r"^embed\.weight and 7 more: from torch\.float32 to torch\.bfl") as caught:
        load(model, weights)
    assert len(caught) == 1


def test_repeated_calls_on_one_loader_do_not_change_its_settings() -> None:
    model = Model()
    weights = drawn(model) | {"odd.x": torch.ones(1)}
    loader = AutoWeightsLoader(model, ["odd"], iter([".k_scale"]))
    before = dict(vars(loader))
    mapper = WeightsMapper(suffix={".gone": None})
    for _ in range(2):
        assert loader.load_weights([*weights.items(), ("x.gone", torch.ones(1))], mapper=mapper) == set(drawn(model))
        assert vars(loader) == before
    with pytest.raises(WeightMapError, match=r"x\.gone: unexpected"):
        loader.load_weights([*weights.items(), ("x.gone", torch.ones(1))])
