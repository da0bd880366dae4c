"""Several processes that train together come to what one does with their batches in one, and one of them writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.colours import write_pictures, written
from triptych.experiments.folder import join_run
from triptych.experiments.run import run_experiment
from triptych.experiments.whole import read_rows

pytest.importorskip("accelerate")
STAGE = "  - {{name: a, train: {{projector: 1e-3, language_model: 1e-3}}, steps: {}, batch_size: {}, optimizer: {}}}"
OFTEN = "log_every: 1\n  save_every: 2"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pictures()
    with open("data.jsonl", "a") as file:
        file.write('{"prompt": "Now?", "answer": "yes"}\n')


def rows(folder: Path) -> list[dict[str, object]]:
    with open(folder / "metrics.jsonl", "r+b", buffering=0) as file:
        return [dict(row) for row in read_rows(file)]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_two_processes_learn_what_one_does_and_one_of_them_writes(optimizer: str) -> None:
    one = run_experiment(written(STAGE.format(4, 2, optimizer), OFTEN, name="one")).folder
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    asked = ["-m", "triptych.cli", "experiment", written(STAGE.format(4, 1, optimizer), OFTEN, name="two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *asked], capture_output=True, text=True, timeout=500, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("experiment/two.yaml") == 1
    two = Path("runs/two/as_it_is")
    assert (two / "log.txt").read_text().count("begun, with 0 rows there") == 1
    assert [path.name for path in (two / "stages/a").iterdir()] == ["model"]
    assert (two / "model/model.safetensors").is_file()
    for found, wanted in zip(rows(two), rows(one), strict=True):
        assert found.pop("stage") == wanted.pop("stage")
        assert found == pytest.approx(wanted, rel=1e-5)


def test_who_joins_a_run_finds_it_done_and_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    name = written(STAGE.format(1, 2, "adamw"), OFTEN)
    wanted = run_experiment(name)
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert run_experiment(name) == wanted
    joined = join_run(Path("elsewhere"))
    joined.add({"stage": "a", "step": 1})
    joined.finish({"steps": 1})
    assert (joined.rows, joined.result) == ([{"stage": "a", "step": 1}], {"steps": 1})
    assert before == {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
