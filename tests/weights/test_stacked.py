"""Tensors that stand one by one on disk, and one on the other in the model: the matrices of experts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.weights.loading import assembled, loaded, matched, numbered
from triptych.assembly import Assembled, assemble
from triptych.spec.catalog import load_named, sample_config
from triptych.weights import AutoWeightsLoader, tables
from triptych.weights.random import fill_random
from triptych.weights.table_mapper import mapper_of

EACH = """
weights:
  layers.{i}:
    ffn.moe.gate_up: mlp.experts.{e}.{gate,up}_proj.weight
    ffn.moe.down: mlp.experts.{e}.down_proj.weight
"""
EXPERTS, WIDTH, HIDDEN = 4, 64, 32
PATH = "layers.1.ffn.moe"


def model(changes: str = EACH, **config: Any) -> Assembled:
    return assembled("qwen3_vl_moe_text", changes, **config)


def tensors(**config: Any) -> dict[str, Tensor]:
    """A checkpoint of that model, every value another one."""
    built, found = model(**config), dict[str, tuple[int, ...]]()
    (table, *_) = tables(built.plan.scopes)
    for path, parameter in built.module.named_parameters():
        if "gate_up" not in path or "moe" not in path:
            row = table.find(path)
            assert row is not None
            names = [source.name.replace("{i}", path.split(".")[1]) + row[1] for source in row[0].sources]
            pieces = getattr(built.module.get_submodule(path.rpartition(".")[0]), "pieces", ()) or (len(parameter),)
            found |= {name: (rows, *parameter.shape[1:]) for name, rows in zip(names, pieces, strict=False)}
    found = {name: shape for name, shape in found.items() if "{e}" not in name}
    for e in range(config.get("num_experts", EXPERTS)):
        at = f"model.layers.1.mlp.experts.{e}"
        found |= {f"{at}.{name}_proj.weight": (HIDDEN, WIDTH) for name in ("gate", "up")}
        found[f"{at}.down_proj.weight"] = (WIDTH, HIDDEN)
    return numbered(found)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_each_expert_has_its_own_matrices_gate_before_up(count: int, tmp_path: Path) -> None:
    config = {"num_experts": count, "num_experts_per_tok": 1}
    given = tensors(**config)
    found = loaded(model(**config), given, tmp_path).parameters
    for e in range(count):
        at = f"model.layers.1.mlp.experts.{e}"
        whole = torch.cat([given[f"{at}.{name}_proj.weight"] for name in ("gate", "up")])
        assert torch.equal(found[f"{PATH}.gate_up"][e], whole)
        assert torch.equal(found[f"{PATH}.down"][e], given[f"{at}.down_proj.weight"])


@pytest.mark.parametrize("count", [1, 4])
def test_tensors_that_come_one_by_one_go_to_the_same_places(count: int, tmp_path: Path) -> None:
    config = {"num_experts": count, "num_experts_per_tok": 1}
    given, built = tensors(**config), model(**config)
    wanted = loaded(built, given, tmp_path).parameters
    streamed = model(**config)
    streamed.module.to_empty(device="cpu")
    for parameter in streamed.module.parameters():
        nn.init.constant_(parameter, torch.nan)
    (table, *_) = tables(streamed.plan.scopes)
    AutoWeightsLoader(streamed.module).load_weights(reversed(given.items()), mapper_of(table, streamed.module))
    for path, parameter in streamed.module.named_parameters():
        assert torch.equal(parameter, wanted[path]), path


def test_an_expert_that_is_missing_or_of_another_shape_is_named(tmp_path: Path) -> None:
    given, at = tensors(), "model.layers.1.mlp.experts"
    del given[f"{at}.2.up_proj.weight"]
    given[f"{at}.3.down_proj.weight"] = torch.zeros(WIDTH, HIDDEN - 1)
    given[f"{at}.4.down_proj.weight"] = torch.zeros(WIDTH, HIDDEN)
    told = [f"{f.fault}: {f.path}: {f.message}" for f in matched(model(), given, tmp_path).findings]
    assert told == [
        f"missing: {PATH}.gate_up: nothing on disk under '{at}.2.up_proj.weight'; "
        f"did you mean '{at}.4.down_proj.weight'?",
        f"wrong shape: {PATH}.down: [64, 32] in the model; on disk {at}.3.down_proj.weight [64, 31]",
        f"unexpected: {at}.4.down_proj.weight: on disk, and no row takes it",
    ]


def test_pieces_of_other_sizes_with_the_same_sum_do_not_fit(tmp_path: Path) -> None:
    given, at = tensors(), "model.layers.1.mlp.experts.0"
    given[f"{at}.gate_proj.weight"] = torch.zeros(HIDDEN + 1, WIDTH)
    given[f"{at}.up_proj.weight"] = torch.zeros(HIDDEN - 1, WIDTH)
    (finding,) = matched(model(), given, tmp_path).findings
    assert finding.message.startswith("[64, 64] (32 + 32) in the model; on disk")


def test_drawn_experts_have_the_spread_of_a_matrix_by_itself() -> None:
    tree = load_named("qwen3_vl_moe_text")[1]
    built = assemble(tree, sample_config(tree), name="drawn").module
    fill_random(built, seed=0, device=torch.device("cpu"), dtype=torch.float32)
    drawn = dict(built.named_parameters())
    assert float(drawn[f"{PATH}.gate_up"].std()) == pytest.approx(WIDTH**-0.5, rel=0.05)
    assert float(drawn[f"{PATH}.down"].std()) == pytest.approx(HIDDEN**-0.5, rel=0.05)
