"""The experiment that makes the model: how large that is, and that a few of its steps leave one that answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import triptych
from triptych.errors import OptionError, SpecError
from triptych.experiments import stages
from triptych.experiments.run import run_experiment
from triptych.handwriting import files
from triptych.handwriting.files import Amount, write_data

FEW = ["train.stages=[{train: {towers: 1e-3, projectors: 1e-3, language_model: 1e-3}, steps: 2, batch_size: 4}]"]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_model_is_put_together_and_small() -> None:
    result = run_experiment("handwriting", ["task=check"]).result
    assert result["image_tokens"] == 16
    assert 4 * int(str(result["parameters"])) < 4 * 2**20  # bytes


def test_a_few_steps_leave_a_model_that_answers() -> None:
    pytest.importorskip("accelerate")
    write_data(Path("handwriting"), amount=Amount(train=4, held_out=2, questions=1))
    outcome = run_experiment("handwriting", FEW)
    asked = {row["kind"] for row in map(json.loads, Path("handwriting/held_out.jsonl").read_text().splitlines())}
    assert {f"eval_exact.{kind}" for kind in asked} < set(outcome.result)
    assert 0 <= float(str(outcome.result["eval_exact"])) <= 1
    model = triptych.load(outcome.folder / "model")
    (answer,) = model.generate(["What number is written?"], [["handwriting/held_out/00000.png"]], max_tokens=4)
    said = ["<user>", *16 * ["<image>"], "What", "Ġnumber", "Ġis", "Ġwritten", "?", "<model>"]
    assert model.tokenizer is not None
    assert list(answer.prompt_token_ids) == [model.tokenizer.token_id(token) for token in said]
    assert model.end_ids == {model.tokenizer.token_id("<end>")}


def test_data_that_are_not_there_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate")
    few = Amount(train=4, held_out=2, questions=1)
    monkeypatch.setattr(files, "Amount", lambda: few)
    outcome = run_experiment("handwriting", [*FEW, "run.seed=3"])
    made = Path("handwriting/train.jsonl").read_bytes()
    write_data(Path("by_hand"), amount=few, seed=3)
    assert made == Path("by_hand/train.jsonl").read_bytes()
    assert outcome.result["steps"] == 2


def test_nothing_is_made_where_it_cannot_be_trained_on_or_was_already(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate")
    monkeypatch.setattr(files, "Amount", lambda: Amount(train=4, held_out=2, questions=1))
    with monkeypatch.context() as without:
        without.setattr(stages, "find_spec", lambda _: None)
        with pytest.raises(OptionError, match="training needs Accelerate"):
            run_experiment("handwriting", FEW)
    assert not Path("handwriting").exists()
    done = run_experiment("handwriting", FEW)
    shutil.rmtree("handwriting")
    assert run_experiment("handwriting", FEW).result == done.result
    assert not Path("handwriting").exists()


def test_data_that_are_there_are_read_as_they_are() -> None:
    Path("handwriting").mkdir()
    with pytest.raises(SpecError, match=r"handwriting/train.jsonl: No such file"):
        run_experiment("handwriting")
