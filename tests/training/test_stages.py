"""Stages: what each trains and at which rate, and that a run that was broken off ends as one in a piece."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import triptych
from tests.cli.command import Capture, ran
from tests.full_disk import room_for
from tests.training.colours import COLOURS, write_pictures, written
from triptych.experiments.run import Outcome, run_experiment
from triptych.training.errors import TrainingError
from triptych.training.learner import Learner
from triptych.training.stage import Stage

pytest.importorskip("accelerate")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pictures()


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (outcome.folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> Mapping[str, Tensor]:
    return dict(triptych.load(folder).module.named_parameters())


def moved(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> set[str]:
    return {path for path, tensor in one.items() if not torch.equal(tensor, other[path])}


def test_what_is_learned_is_answered_from_the_command_line(capsys: Capture) -> None:
    stages = "  - {train: {tower: 1e-3, projector: 3e-3, language_model: 3e-3}, steps: 40, batch_size: 3}"
    name = written(stages, "log_every: 10")
    outcome = run_experiment(name, ["data.held_out=data.jsonl"])
    assert outcome.result["eval_exact"] == 1.0
    for colour in COLOURS:
        status, out, err = ran(capsys, "run", str(outcome.folder / "model"), "--image", f"{colour}.png", "What?")
        assert (status, out) == (0, f"{colour}\n"), err


def test_what_is_held_out_is_counted_by_kinds_too() -> None:
    asked = [("red", "red", "right"), ("blue", "blue", "right"), ("blue", "green", "wrong"), ("green", "green", None)]
    said = [
        {"prompt": "What?", "answer": answer, "images": [f"{colour}.png"]} | ({"kind": kind} if kind else {})
        for colour, answer, kind in asked
    ]
    Path("held_out.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in said))
    stages = "  - {train: {tower: 1e-3, projector: 3e-3, language_model: 3e-3}, steps: 40, batch_size: 3}"
    found = run_experiment(written(stages, "log_every: 40"), ["data.held_out=held_out.jsonl"]).result
    exact = {key: value for key, value in found.items() if key.startswith("eval_exact")}
    assert exact == {"eval_exact": 0.75, "eval_exact.right": 1.0, "eval_exact.wrong": 0.0}


def test_a_stage_with_kinds_learns_from_questions_of_these_alone() -> None:
    said = [
        {"prompt": "What?", "answer": colour, "images": [f"{colour}.png"], "kind": kind}
        for colour, kind in (("red", "warm"), ("green", "cold"), ("blue", "cold"))
    ]
    Path("data.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in said))
    stages = (
        "  - {train: {tower: 1e-3, projector: 3e-3, language_model: 3e-3}, kinds: [warm], steps: 20}\n"
        "  - {train: {tower: 1e-3, projector: 3e-3, language_model: 3e-3}, steps: 40, batch_size: 3}"
    )
    found = rows(run_experiment(written(stages, "log_every: 20"), ["data.held_out=data.jsonl"]))
    exact = [{key: row[key] for key in row if key.startswith("eval_exact.")} for row in found if "eval_exact" in row]
    assert exact == [{"eval_exact.warm": 1.0, "eval_exact.cold": 0.0}, {"eval_exact.warm": 1.0, "eval_exact.cold": 1.0}]


def test_a_stage_trains_what_it_names_and_leaves_the_rest() -> None:
    name = written(
        "  - {name: first, train: {projector: 1e-3}, steps: 1}\n"
        "  - {name: second, train: {language_model: 1e-3, language_model.layers.1: 2e-3}, steps: 1,\n"
        "     freeze: [language_model.embed, language_model.layers.0.ffn], schedule: constant}"
    )
    home = run_experiment(name).folder
    begin, first, second = (weights(home / at) for at in ("begin", "stages/first/model", "stages/second/model"))
    assert moved(begin, first) == {path for path in begin if path.startswith("projectors.")}
    frozen = ("language_model.embed.", "language_model.layers.0.ffn.", "towers.", "projectors.")
    assert moved(first, second) == {path for path in begin if not path.startswith(frozen)}
    change = {
        path: float((second[path] - first[path]).abs().max()) for path in begin
    }  # a first step of Adam is its rate
    at = "language_model.layers.{}.mix.attention.qkv.weight"
    assert change[at.format(0)] == pytest.approx(1e-3, rel=1e-2)
    assert change[at.format(1)] == pytest.approx(2e-3, rel=1e-2)
    (row,) = [row for row in rows(run_experiment(name)) if row["stage"] == "second"]
    assert row["learning_rate.language_model"] == pytest.approx(1e-3)
    assert row["learning_rate.language_model.layers.1"] == pytest.approx(2e-3)


def test_training_begins_from_values_as_large_as_it_says() -> None:
    stage = "  - {train: {projector: 1e-3}, steps: 1}"
    plain = weights(run_experiment(written(stage)).folder / "begin")
    begin = "begin: {tower: 0.5, language_model: 0.25, language_model.embed: 3}"
    scaled = weights(run_experiment(written(stage, begin, name="scaled")).folder / "begin")
    times = {"towers.": 0.5, "projectors.": 1.0, "language_model.": 0.25, "language_model.embed.": 3.0}
    for path, values in plain.items():
        (*_, told) = [told for above, told in times.items() if path.startswith(above)]
        assert torch.equal(scaled[path], values * (told if values.ndim > 1 else 1)), path


def test_a_trained_folder_is_checked_against_the_spec_that_it_brings(capsys: Capture) -> None:
    folder = run_experiment(written("  - {train: {projector: 1e-3}, steps: 1}")).folder / "model"
    status, out, _ = ran(capsys, "check", str(folder))
    assert (status, f"{folder}: weights: passed (48 parameters from 48 tensors" in out) == (0, True), out
    assert ran(capsys, "show", str(folder)) == ran(capsys, "show", str(folder / "spec.yaml"))
    Path("check.yaml").write_text(f"task: check\ncheckpoint: {folder}\n")
    assert run_experiment("check.yaml").result["image_tokens"] == 5
    tensors = load_file(folder / "model.safetensors")
    save_file({"more": tensors.pop("projectors.image.mlp.up.bias"), **tensors}, folder / "model.safetensors")
    status, out, _ = ran(capsys, "check", str(folder))
    assert status == 1
    assert "projectors.image.mlp.up.bias: missing: nothing on disk" in out
    assert "more: unexpected: on disk" in out


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_products_may_be_in_bfloat16_while_weights_stay_in_float32(optimizer: str) -> None:
    stage = f"train: {{tower: 1e-3, projector: 1e-3, language_model: 1e-3}}, steps: 2, optimizer: {optimizer}"
    name = written(f"  - {{{stage}}}")
    narrow, wide = (run_experiment(name, words) for words in (["run.dtype=bfloat16"], []))
    found = weights(narrow.folder / "model")
    assert {tensor.dtype for tensor in load_file(narrow.folder / "model/model.safetensors").values()} == {torch.float32}
    assert moved(weights(wide.folder / "begin"), found) >= {path for path in found if path.endswith("qkv.weight")}
    for one, other in zip(rows(narrow), rows(wide), strict=True):
        assert one["loss"] != other["loss"]
        assert one["loss"] == pytest.approx(other["loss"], rel=2e-2)


LORA = ", lora: {language_model: {rank: 2}}"
MUON = ", optimizer: muon"


@pytest.mark.parametrize("how", ["", LORA, MUON, LORA + MUON], ids=["weights", "lora", "muon", "lora-muon"])
def test_a_run_that_was_broken_off_ends_as_one_in_a_piece(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = f"train: {{projector: 1e-3, language_model: 1e-3}}{how}"
    name = written(
        f"  - {{name: a, train: {{projector: 1e-3}}, steps: 2, batch_size: 2}}\n"
        f"  - {{name: b, steps: 5, batch_size: 2, {trained}}}",
        "log_every: 1\n  save_every: 2",
    )
    words = ["data.held_out=data.jsonl", "train.eval_every=2", "generate.max_tokens=2"]
    whole = run_experiment(name, [*words, "run.folder=whole"])

    step, broken = Stage.training_step, list[int]()

    def breaks(self: Stage, *args: Any, **options: Any) -> Tensor:
        if self.name == "b" and self.state.global_step == 3 and not broken:
            broken.append(3)
            raise KeyboardInterrupt
        return step(self, *args, **options)

    monkeypatch.setattr(Stage, "training_step", breaks)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(name, words)
    (home,) = Path("runs/mine").iterdir()
    assert [path.name for path in (home / "stages/b").iterdir()] == ["checkpoint-2"]
    parts = run_experiment(name, words)
    assert broken
    assert not moved(weights(whole.folder / "model"), weights(parts.folder / "model"))
    assert rows(parts) == rows(whole)
    assert parts.result == whole.result


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_number_that_is_none_stops_and_the_last_good_weights_are_kept(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = written("  - {name: wild, train: {projector: 1e-3}, steps: 4, schedule: constant}")
    step, good = Stage.training_step, dict[str, Tensor]()

    def goes_wrong(self: Stage, *args: Any, **options: Any) -> Tensor:
        found = step(self, *args, **options)
        parameters = dict(self.model.model.named_parameters())
        if self.state.global_step == 2:
            good.update({path: tensor.detach().clone() for path, tensor in parameters.items()})
            parameters["projectors.image.mlp.up.weight"].grad[0, 0] = math.inf
        return found * (math.nan if what == "loss" and good else 1)

    monkeypatch.setattr(Stage, "training_step", goes_wrong)
    if what == "loss":  # what the method itself gives is looked at
        monkeypatch.setattr(Stage, "training_step", step)
        forward = Learner.forward
        calls = list[int]()

        def no_number(self: Learner, *args: Any, **options: Any) -> dict[str, Tensor]:
            calls.append(1)
            found = forward(self, *args, **options)
            if len(calls) == 3:
                good.update({path: tensor.detach().clone() for path, tensor in self.model.named_parameters()})
                found["loss"] = found["loss"] * math.nan
            return found

        monkeypatch.setattr(Learner, "forward", no_number)
    with pytest.raises(TrainingError, match=rf"stage 'wild', step 3: the .*{what} is (nan|inf); .*checkpoint-2"):
        run_experiment(name)
    assert not moved(good, weights(Path("runs/mine/as_it_is/stages/wild/checkpoint-2")))


@pytest.mark.parametrize(("room", "told"), [(2**14, "safetensors"), (700_000, "the state of training")])
def test_a_disk_that_fills_while_a_model_is_saved_leaves_the_last_one_whole(
    room: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = written("  - {name: a, train: {language_model: 1e-3}, steps: 4}", "save_every: 1\n  keep: 1")
    save = Stage._save_checkpoint

    def fills(self: Stage, *args: Any) -> None:
        with room_for(room if self.state.global_step == 3 else 2**30):
            save(self, *args)

    monkeypatch.setattr(Stage, "_save_checkpoint", fills)
    with pytest.raises(OSError, match=told):
        run_experiment(name)
    monkeypatch.setattr(Stage, "_save_checkpoint", save)
    home = Path("runs/mine/as_it_is/stages/a")
    assert [path.name for path in home.iterdir()] == ["checkpoint-2"]
    assert weights(home / "checkpoint-2")
    (home / ".checkpoint-3.part").mkdir()  # as a process that is killed leaves it
    resumed, whole = run_experiment(name), run_experiment(name, ["run.folder=whole"])
    assert not moved(weights(whole.folder / "model"), weights(resumed.folder / "model"))
    assert [path.name for path in home.iterdir()] == ["model"]


def test_batches_that_are_accumulated_count_by_their_tokens() -> None:
    one, three = (
        rows(run_experiment(written(f"  - {{train: {{projector: 1e-3}}, steps: 1, {size}}}", name=name)))
        for name, size in (("one", "batch_size: 3"), ("three", "batch_size: 1, accumulate: 3"))
    )
    for key in ("loss", "grad_norm"):
        assert three[0][key] == pytest.approx(one[0][key], rel=1e-5), key


def test_matrices_decay_and_the_rest_does_not() -> None:
    stage = "  - {{train: {{language_model: 1e-3}}, steps: 1, schedule: constant, weight_decay: {}}}"
    with_it, without = (
        run_experiment(written(stage.format(decay), name=name)) for name, decay in (("a", 0.5), ("b", 0))
    )
    begin, found, plain = (
        weights(home) for home in (without.folder / "begin", with_it.folder / "model", without.folder / "model")
    )
    for path, tensor in begin.items():
        decay = 1e-3 * 0.5 if path.startswith("language_model") and tensor.ndim > 1 else 0.0
        assert torch.allclose(plain[path] - found[path], decay * tensor, atol=1e-6), path


def test_low_rank_matrices_are_drawn_by_the_seed_and_added_to_linear_layers_alone() -> None:
    name = written("  - {train: {language_model: 1e-2}, lora: {language_model: {rank: 2}}, steps: 2}")
    folders = list[Path]()
    for number in range(2):
        torch.manual_seed(number)
        folders.append(run_experiment(name, [f"run.folder=runs{number}"]).folder)
    begin, one, other = (weights(folder) for folder in (folders[0] / "begin", *(f / "model" for f in folders)))
    assert not moved(one, other)
    kinds = ("qkv.weight", "out.weight", "gate_up.weight", "down.weight")
    assert moved(begin, one) == {p for p in begin if p.startswith("language_model.layers.") and p.endswith(kinds)}
    at = "language_model.layers.0.mix.attention.qkv.weight"
    assert torch.linalg.matrix_rank(one[at] - begin[at], rtol=1e-3) == 2
