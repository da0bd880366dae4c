"""Muon for matrices and AdamW for all else: each parameter moves as torch's own of the two moves it alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon

import triptych
from tests.training.colours import write_pictures, written
from triptych.errors import SpecError
from triptych.experiments.run import run_experiment
from triptych.parts.projectors import LinearStep
from triptych.parts.projectors_spec import LinearStepSpec
from triptych.training.optimizer import MuonBesideAdamW, matrices_of
from triptych.training.stage import Stage

pytest.importorskip("accelerate")
RATES = {"towers.": 1e-3, "projectors.": 3e-3, "language_model.": 2e-3}
STAGE = (
    "  - {train: {tower: 1e-3, projector: 3e-3, language_model: 2e-3}, steps: 3, batch_size: 3, warmup: 0.3,\n"
    "     optimizer: muon, weight_decay: 0.1, betas: [0.8, 0.98]%s}"
)
TABLES = ("language_model.embed.tokens.weight", "language_model.head.weight", "towers.image.embed.table.weight")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pictures()


def weights(folder: Path) -> Mapping[str, Tensor]:
    return dict(triptych.load(folder).module.named_parameters())


def is_of_muon(path: str, tensor: Tensor) -> bool:
    """By hand, for this model: its matrices are those with two dims that are no tables and no output head."""
    return tensor.ndim == 2 and path not in TABLES


def test_each_parameter_moves_as_torchs_own_moves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    step, seen = MuonBesideAdamW.step, list[tuple[dict[str, Tensor], dict[str, Tensor], dict[int, float]]]()
    stages = list[Stage]()

    def watched(self: MuonBesideAdamW, closure: None = None) -> None:
        parameters = dict(stages[0].model.model.named_parameters())
        gradients = {path: p.grad.clone() for path, p in parameters.items()}
        rates = {id(p): group["lr"] for group in self.param_groups for p in group["params"]}
        before = {path: p.detach().clone() for path, p in parameters.items()}
        step(self, closure)
        seen.append((gradients, before, {path: rates[id(p)] for path, p in parameters.items()}))

    create = Stage.create_optimizer

    def created(self: Stage, model: Any = None) -> torch.optim.Optimizer:
        stages.append(self)
        return create(self, model)

    monkeypatch.setattr(MuonBesideAdamW, "step", watched)
    monkeypatch.setattr(Stage, "create_optimizer", created)
    found = weights(run_experiment(written(STAGE % "")).folder / "model")
    assert len(seen) == 3
    for path, begun in seen[0][1].items():
        own = nn.Parameter(begun.clone())
        decay = 0.1 if own.ndim > 1 else 0.0
        options = {"momentum": 0.95, "nesterov": True, "adjust_lr_fn": "match_rms_adamw"}
        alone: Any = (
            Muon([own], weight_decay=decay, **options)
            if is_of_muon(path, own)
            else AdamW([own], betas=(0.8, 0.98), weight_decay=decay, fused=True)
        )
        (highest,) = [rate for name, rate in RATES.items() if path.startswith(name)]
        assert max(rates[path] for _, _, rates in seen) == pytest.approx(highest)
        for gradients, before, rates in seen:
            assert torch.equal(before[path], own), path
            own.grad, alone.param_groups[0]["lr"] = gradients[path], rates[path]
            alone.step()
        assert torch.equal(found[path], own), path


def test_a_stage_in_which_no_matrix_learns_is_adamws_alone() -> None:
    stage = "  - {{train: {{language_model.norm: 1e-2, towers.image.embed.table: 1e-2}}, steps: 2{}}}"
    muon, adamw = (
        weights(run_experiment(written(stage.format(more), name=name)).folder / "model")
        for name, more in (("muon", ", optimizer: muon"), ("adamw", ""))
    )
    assert all(torch.equal(tensor, adamw[path]) for path, tensor in muon.items())


def test_a_schedule_and_a_state_reach_both_after_they_were_loaded() -> None:
    matrix, vector = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(3))
    groups = [{"params": [p], "lr": 0.1, "weight_decay": 0.0, "matrices": p is matrix} for p in (matrix, vector)]
    found = MuonBesideAdamW(groups, adamw={"lr": 1.0})
    matrix.grad, vector.grad = torch.ones(2, 3), torch.ones(3)
    found.step()
    found.load_state_dict(found.state_dict())
    for group in found.param_groups:
        group["lr"] = 0.0
    before = matrix.clone(), vector.clone()
    found.step()
    assert torch.equal(before[0], matrix)
    assert torch.equal(before[1], vector)
    assert [[*found.state[p]] for p in (matrix, vector)] == [["momentum_buffer"], ["step", "exp_avg", "exp_avg_sq"]]
    assert found.state[vector]["step"] == 2
    assert found.state[matrix]["momentum_buffer"][0, 0] == pytest.approx(0.05 + 0.95 * 0.05)


def test_a_matrix_that_a_table_holds_too_and_one_of_three_dims_are_none() -> None:
    plain, tied, table, stacked = nn.Linear(4, 3), nn.Linear(4, 3), nn.Embedding(3, 4), nn.Conv1d(2, 3, 2)
    tied.weight = table.weight
    step = LinearStep(LinearStepSpec(), width=4, out=3)
    assert matrices_of(nn.ModuleList([plain, table, tied, stacked, step])) == {plain.weight, step.weight}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("optimizer: moun", r"optimizer: input should be 'adamw' or 'muon'; found 'moun'"),
        ("betas: [0.9]", r"betas\.1: "),
        ("betas: [0.9, 1.0]", r"betas\.1: input should be less than 1"),
    ],
)
def test_what_is_no_optimizer_and_no_share_is_told(wrong: str, told: str) -> None:
    with pytest.raises(SpecError, match=rf"mine.yaml:\d+:\d+: train\.stages\.0\.{told}"):
        run_experiment(written(f"  - {{train: {{projector: 1e-3}}, steps: 1, {wrong}}}"))
