"""Two processes that keep a part of every parameter each, as FSDP has them, come to what one process does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.training.colours import write_pictures, written
from tests.training.test_processes import OFTEN, free_port, rows, started
from triptych.experiments.run import run_experiment

pytest.importorskip("accelerate")
STAGES = """
  - {{name: a, train: {{projector: 1e-3}}, steps: 2, batch_size: {size}}}
  - {{name: b, train: {{tower: 1e-4, projector: 2e-4, language_model: 1e-4}}, freeze: [language_model.embed],
     weight_decay: 0.1, steps: 4, batch_size: {size}}}
"""
ON_A_CPU = "from tests.training.on_a_cpu import use_fsdp\nuse_fsdp()"
NO_NUMBER = """
import os
from triptych.training.learner import Learner
forward, steps = Learner.forward, []
def wrong(self, *args, **options):
    found = forward(self, *args, **options)
    steps.append(self.training)
    if os.environ["RANK"] == "1" and sum(steps) == 6:
        found["loss"] = found["loss"] * float("nan")
    return found
Learner.forward = wrong
"""


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FSDP_VERSION", "2")
    write_pictures()
    with open("data.jsonl", "a") as file:  # the batches of one process may have no image
        file.write('{"prompt": "Now?", "answer": "yes"}\n')


def together(*asked: str, program: str = "") -> list[tuple[int, str]]:
    """The statuses of two processes, and what they tell of errors."""
    port = free_port()
    both = [started(rank, *asked, port=port, program=f"{ON_A_CPU}\n{program}") for rank in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in both]
    return [(process.returncode, error) for process, error in zip(both, errors, strict=True)]


def model(folder: Path, stage: str) -> Mapping[str, Tensor]:
    return load_file(folder / "stages" / stage / "model.safetensors")


def test_parts_in_two_processes_learn_what_one_does_and_go_on_where_a_loss_was_no_number() -> None:
    often = f"{OFTEN}\n  eval_every: 2"
    words = ["data.held_out=data.jsonl", "generate.max_tokens=2", "run.folder=runs"]
    one = run_experiment(written(STAGES.format(size=2), often, name="one"), words).folder
    name = written(STAGES.format(size=1), often, name="two")
    two = Path(str(one).replace("one", "two"))

    broken = together(name, *words, program=NO_NUMBER)
    for status, error in broken:
        assert status == 1, error
        assert "stage 'b', step 4: the loss is nan; the weights before it are kept in" in error
    assert sorted(path.name for path in (two / "stages/b").iterdir()) == ["checkpoint-2", "checkpoint-3"]
    again = together(name, *words)
    assert [status for status, _ in again] == [0, 0], again

    for stage in ("a/model", "b/model"):
        whole, parts = model(one, stage), model(two, stage)
        assert {path: tensor.shape for path, tensor in parts.items()} == {p: t.shape for p, t in whole.items()}
        for path, tensor in parts.items():
            assert torch.allclose(tensor, whole[path], rtol=0, atol=1e-5), path
    begin, first, second = model(two, "../begin"), model(two, "a/model"), model(two, "b/model")
    assert {p for p in begin if not torch.equal(begin[p], first[p])} == {
        p for p in begin if p.startswith("projectors.")
    }
    still = {path for path in first if torch.equal(first[path], second[path])}
    assert still == {path for path in first if path.startswith("language_model.embed.")}
    assert len(rows(two)) == len({(row["stage"], row["step"], "loss" in row) for row in rows(two)})
    for found, wanted in zip(rows(two), rows(one), strict=True):
        assert found.pop("stage") == wanted.pop("stage")
        assert found == pytest.approx(wanted, rel=1e-5)
