"""Several processes that train together come to what one does with their batches in one, and one of them writes."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.training.colours import write_pictures, written
from triptych.experiments.folder import join_run
from triptych.experiments.run import run_experiment
from triptych.experiments.whole import read_rows
from triptych.training.stage import Stage

pytest.importorskip("accelerate")
STAGE = "  - {{name: a, train: {{projector: 1e-3, language_model: 1e-3}}, steps: {}, batch_size: {}, optimizer: {}}}"
ROOT = Path(__file__).parents[2]
LOST = "the first of the processes has ended; what it says tells why"
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


def started(rank: int, *asked: str, port: int, program: str = "") -> subprocess.Popen[str]:
    """One of two processes that nobody looks after."""
    meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    environment = {**os.environ, **meet, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    code = f"import sys\n{program}\nfrom triptych.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "experiment", *asked]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ends(process: subprocess.Popen[str]) -> str:
    """The lines that it ends with, itself; they are no traceback."""
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "Traceback" not in err
    return err


def test_a_first_process_that_does_not_begin_ends_the_other() -> None:
    name, port = written(STAGE.format(4, 1, "adamw"), OFTEN), free_port()
    home = Path("runs/mine/as_it_is")
    home.mkdir(parents=True)
    with open(home / "metrics.jsonl", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        first, other = (started(rank, name, port=port) for rank in range(2))
        assert ends(first).strip() == f"{home}: another process is running this"
        (line,) = ends(other).splitlines()[-1:]  # torch may say before it that the connection is gone
        assert line in (f"process 0 has ended: {home}: another process is running this", LOST)


def test_a_first_process_that_cannot_save_ends_the_other() -> None:
    name, port = written(STAGE.format(4, 1, "adamw"), OFTEN), free_port()
    fills = """
from pathlib import Path
from tests.full_disk import room_for
from triptych.training.stage import Stage
save = Stage._save_checkpoint
def full(self, *args):
    with room_for(2**14):
        save(self, *args)
Stage._save_checkpoint = full
"""
    first, other = started(0, name, port=port, program=fills), started(1, name, port=port)
    assert "safetensors" in ends(first)
    (line,) = ends(other).splitlines()[-1:]
    assert line.startswith("process 0 has ended: ") or line == LOST


def test_a_process_that_is_not_the_first_saves_no_model_when_it_is_asked_to() -> None:
    other: Any = SimpleNamespace(args=SimpleNamespace(should_save=False))
    Stage._save(other, "there")
    assert not Path("there").exists()


def test_two_processes_that_were_broken_off_end_as_two_in_a_piece() -> None:
    breaks = """
from triptych.training.stage import Stage
step = Stage.training_step
def broken(self, *args, **options):
    if self.state.global_step == 3:
        raise KeyboardInterrupt
    return step(self, *args, **options)
Stage.training_step = broken
"""
    name = written(STAGE.format(5, 1, "muon"), OFTEN)
    for folder, program, status in (("whole", "", 0), ("runs", breaks, 130), ("runs", "", 0)):
        port = free_port()
        both = [started(rank, name, f"run.folder={folder}", port=port, program=program) for rank in range(2)]
        errors = [process.communicate(timeout=200)[1] for process in both]
        assert [process.returncode for process in both] == [status] * 2, errors
        there = sorted(path.name for path in Path(folder, "mine/as_it_is/stages/a").iterdir())
        assert there == (["model"] if status == 0 else ["checkpoint-2"])
    whole, parts = (Path(folder, "mine/as_it_is") for folder in ("whole", "runs"))
    assert rows(parts) == rows(whole)
    assert (parts / "model/model.safetensors").read_bytes() == (whole / "model/model.safetensors").read_bytes()


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
