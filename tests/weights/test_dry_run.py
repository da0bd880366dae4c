"""What a loader would make of a checkpoint, told from names and shapes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from triptych.errors import WeightMapError
from triptych.parts.parameters import Linear
from triptych.weights import AutoWeightsLoader, PPMissingLayer, StageMissingLayer, Target, WeightsMapper, plan

MAPPER = WeightsMapper(
    prefix={"model.": "", "draft.": None},
    stacked={"q_proj": ("qkv", "q"), "k_proj": ("qkv", "k"), "v_proj": ("qkv", "v")},
)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = Linear(2, 8, bias=False, pieces=(4, 2, 2))
        self.norm = nn.LayerNorm(2)


class Model(nn.Module):
    """Two blocks with a head that is the embedding; on meta, as nothing is loaded."""

    def __init__(self, device: str = "meta") -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 2)
        self.layers = nn.ModuleList(Block() for _ in range(2))
        self.to_empty(device=device)
        self.head = nn.Linear(2, 5, bias=False, device="meta")
        self.head.weight = self.embed.weight


def checkpoint() -> dict[str, Tensor]:
    """What fits the model by the mapper."""
    found = {"model.embed.weight": torch.ones(5, 2)}
    for i in range(2):
        found |= {f"model.layers.{i}.{n}_proj.weight": torch.ones(4 if n == "q" else 2, 2) for n in "qkv"}
        found |= {f"model.layers.{i}.norm.{n}": torch.ones(2) for n in ("weight", "bias")}
    return found


def test_names_that_fit_are_mapped_with_nothing_to_tell() -> None:
    found = plan(checkpoint(), Model(), MAPPER)
    assert found.report() == "checkpoint: 11 tensors mapped, 0 dropped"
    assert found.mapped["model.embed.weight"] == (Target("embed.weight"),)
    assert found.mapped["model.layers.1.k_proj.weight"] == (Target("layers.1.qkv.weight", "k"),)
    found.check()


def test_without_a_mapper_names_stand_for_themselves() -> None:
    model = Model()
    assert plan(model.state_dict(), model).mapped.keys() == set(model.state_dict()) - {"head.weight"}


@pytest.mark.parametrize(
    "name",
    ["draft.x", "model.layers.0.rotary_emb.inv_freq", "model.layers.0.qkv.bias", "head.weight"],
)
def test_what_is_not_needed_is_dropped(name: str) -> None:
    found = plan([*checkpoint(), name], Model(), MAPPER)
    assert found.dropped == (name,)
    assert found.findings == ()


def test_names_of_missing_stages_are_dropped() -> None:
    model = Model()
    model.layers[1] = PPMissingLayer()
    model.embed = StageMissingLayer("language_model", model.embed)  # type: ignore[assignment]
    found = plan(checkpoint(), model, MAPPER)
    assert len(found.dropped) == 6
    assert found.missing == ("head.weight",)
    assert "checkpoint: skipped on purpose: embed, layers.1" in found.report()


def test_what_nothing_takes_is_unmatched_under_its_new_name() -> None:
    found = plan([*checkpoint(), "model.layers.0.nrom.weight"], Model(), MAPPER)
    assert found.unmatched == ("layers.0.nrom.weight",)
    assert "no parameter is called that; nearest: layers.0.norm.weight, " in found.report()


def test_what_two_tensors_go_to_is_doubly_matched() -> None:
    found = plan([*checkpoint(), "embed.weight", "layers.0.qkv.weight"], Model(), MAPPER)
    assert found.doubly_matched == ("embed.weight", "layers.0.qkv.weight")
    assert "embed.weight: doubly matched: 'embed.weight' and 'model.embed.weight' on disk go there" in found.report()


def test_a_name_that_two_rules_match_is_doubly_matched() -> None:
    found = plan([*checkpoint(), "q_proj.k_proj"], Model(), MAPPER)
    assert found.doubly_matched == ("q_proj.k_proj",)
    assert "q_proj.k_proj: doubly matched: the stacked rules 'q_proj' and 'k_proj' both match" in found.report()


def test_missing_parameters_and_pieces_are_told() -> None:
    names = set(checkpoint()) - {"model.layers.0.norm.bias", "model.layers.1.v_proj.weight"}
    found = plan(names, Model(), MAPPER)
    assert found.missing == ("layers.0.norm.bias", "layers.1.qkv.weight")
    assert "layers.1.qkv.weight: missing: nothing is loaded to pieces 2 of 3" in found.report()


def test_an_alias_does_not_stand_in_for_its_first_name() -> None:
    found = plan([*(set(checkpoint()) - {"model.embed.weight"}), "head.weight"], Model(), MAPPER)
    assert found.missing == ("embed.weight",)
    assert "head.weight, which is the same parameter, is there" in found.report()


def test_shapes_are_compared_where_they_are_known() -> None:
    tensors = checkpoint() | {"model.embed.weight": torch.ones(6, 2), "model.layers.0.k_proj.weight": torch.ones(4, 2)}
    found = plan(tensors, Model(), MAPPER)
    assert found.shape_mismatched == ("embed.weight", "layers.0.qkv.weight")
    assert "layers.0.qkv.weight: wrong shape: [2, 2] in the model; on disk [4, 2]" in found.report()
    assert plan(list(tensors), Model(), MAPPER).findings == ()


def test_a_weight_loader_may_cut_as_it_likes() -> None:
    model = Model()
    model.embed.weight.weight_loader = lambda parameter, tensor: parameter.copy_(tensor[:5])  # type: ignore[attr-defined]
    assert plan(checkpoint() | {"model.embed.weight": torch.ones(9, 2)}, model, MAPPER).findings == ()


def test_all_that_does_not_fit_is_told_at_once_by_component() -> None:
    tensors = checkpoint() | {"odd": torch.ones(1), "model.embed.weight": torch.ones(6, 2)}
    del tensors["model.layers.0.norm.bias"]
    found = plan(tensors, Model(), MAPPER)
    lines = found.report("folder").splitlines()
    assert lines[0] == "folder: 10 tensors mapped, 0 dropped, 3 do not fit"
    assert [line for line in lines[1:] if line.startswith("folder")] == [
        f"folder: {component}: 1 tensors do not fit" for component in ("embed", "layers", "odd")
    ]
    with pytest.raises(WeightMapError) as raised:
        found.check("folder")
    assert str(raised.value).splitlines() == lines[1:]


def loads(weights: Iterable[tuple[str, Tensor]], model: nn.Module) -> bool:
    try:
        AutoWeightsLoader(model).load_weights(weights, mapper=MAPPER)
    except WeightMapError:
        return False
    return True


EXTRA = ["head.weight", "draft.x", "x", "embed.weight.x", "layers.0.norm.weight.bias", "q_proj.k_proj", "embed"]


@given(
    left=st.sets(st.sampled_from(sorted(checkpoint())), max_size=2),
    extra=st.sets(st.sampled_from(EXTRA), max_size=2),
    wide=st.sets(st.sampled_from(sorted(checkpoint())), max_size=1),
)
def test_a_plan_without_findings_is_one_that_loads(left: set[str], extra: set[str], wide: set[str]) -> None:
    tensors = {name: tensor for name, tensor in checkpoint().items() if name not in left}
    tensors |= {name: torch.ones(5, 2) for name in extra} | {name: torch.ones(7, 2) for name in wide - left}
    assert (not plan(tensors, Model(), MAPPER).findings) == loads(tensors.items(), Model("cpu"))
