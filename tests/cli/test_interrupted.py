"""A run over a file that is stopped, killed or out of room, as a process of its own: the same command ends it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.oracle import build_oracle, tiny_config

CLI = [sys.executable, "-m", "triptych.cli"]
ROWS = 3000
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog"]


class Job:
    """One file to embed, what comes of it in one piece, and the command of it."""

    def __init__(self, folder: Path) -> None:
        config = tiny_config("BertModel")
        assert config is not None
        sizes = {"vocab_size": 400, "max_position_embeddings": 64, "hidden_size": 16, "intermediate_size": 16}
        build_oracle({**config, **sizes}, folder / "model", seed=3)
        save(byte_level(), folder / "model")
        self.folder, self.file = folder, folder / "in.jsonl"
        rows = ({"id": n, "text": " ".join(WORDS[: 1 + n * 7 % 8]) + f" {n}"} for n in range(ROWS))
        self.file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        self.printed = self.start(folder / "whole").communicate(timeout=120)
        self.whole = (folder / "whole").read_bytes()

    def start(self, out: Path, **more: Any) -> subprocess.Popen[str]:
        words = ["embed", str(self.folder / "model"), "--file", str(self.file), "--out", str(out)]
        return subprocess.Popen([*CLI, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return Job(tmp_path_factory.mktemp("job"))


def wait_for_rows(out: Path, *, size: int, running: subprocess.Popen[str]) -> None:
    """Until there are some bytes, and not all: more than a window of rows."""
    until = time.monotonic() + 120
    while not out.exists() or out.stat().st_size < size:
        assert time.monotonic() < until
        assert running.poll() is None, running.communicate()
        time.sleep(0.001)


def test_a_run_in_one_piece_has_a_row_for_each_row(job: Job) -> None:
    assert [json.loads(line)["id"] for line in job.whole.splitlines()] == [*range(ROWS)]
    assert job.printed == ("", f"{ROWS} rows are in {job.folder / 'whole'}\n")  # no bar: stderr is no terminal


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_stopped_is_taken_up_to_the_same_bytes(sent: signal.Signals, job: Job, tmp_path: Path) -> None:
    running = job.start(tmp_path / "out")
    wait_for_rows(tmp_path / "out", size=len(job.whole) // 3, running=running)
    running.send_signal(sent)
    stdout, stderr = running.communicate(timeout=120)
    there = (tmp_path / "out").read_bytes()
    assert job.whole.startswith(there)
    assert 0 < there.count(b"\n") < ROWS, "it was to be stopped midway"
    if sent == signal.SIGINT:
        rows = there.count(b"\n")
        told = f"{rows} of {ROWS} rows are in {tmp_path / 'out'}; the same command goes on there\ninterrupted\n"
        assert (running.returncode, stdout, stderr) == (130, "", told)
    again = job.start(tmp_path / "out")
    _, stderr = again.communicate(timeout=120)
    assert again.returncode == 0
    assert stderr.startswith(f"{ROWS} rows are in {tmp_path / 'out'}, ")
    assert (tmp_path / "out").read_bytes() == job.whole


@pytest.mark.slow
def test_a_run_that_had_no_room_says_so_and_is_taken_up(job: Job, tmp_path: Path) -> None:
    room = len(job.whole) // 2

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))

    running = job.start(tmp_path / "out", preexec_fn=limit)
    _, stderr = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "Traceback" not in stderr
    assert f" of {ROWS} rows are in {tmp_path / 'out'}; the same command goes on there\n" in stderr
    assert os.strerror(27) in stderr
    there = (tmp_path / "out").read_bytes()
    assert job.whole.startswith(there)
    assert there.endswith(b"\n")
    again = job.start(tmp_path / "out")
    again.communicate(timeout=120)
    assert (again.returncode, (tmp_path / "out").read_bytes()) == (0, job.whole)


@pytest.mark.slow
def test_a_bar_is_drawn_where_stderr_is_a_terminal(job: Job, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    words = ["embed", str(job.folder / "model"), "--file", str(job.file), "--out", str(tmp_path / "out")]
    running = subprocess.Popen([*CLI, *words], stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"})
    os.close(theirs)
    drawn = b""
    try:
        while part := os.read(ours, 65536):
            drawn += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert running.wait(timeout=120) == 0
    assert f"/{ROWS}".encode() in drawn
    assert b"in.jsonl" in drawn


@pytest.mark.parametrize("written", [0, 1, 40])
def test_an_answer_that_is_interrupted_ends_without_a_traceback(written: int) -> None:
    words = ["run", "llama", "hi", "--random-init", "--raw", "--ignore-eos", "--max-tokens", "100000"]
    long = "sample.max_position_embeddings=100000"
    running = subprocess.Popen([*CLI, *words, long], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    if written:
        running.stdout.read(written)
    else:
        wait_for_import("torch", running)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert (running.returncode, stderr.decode().splitlines()[-1]) == (130, "interrupted")
    assert b"Traceback" not in stderr


def wait_for_import(name: str, running: subprocess.Popen[bytes]) -> None:
    """Until a process reads a library of this name."""
    until = time.monotonic() + 60
    while f"lib{name}" not in Path(f"/proc/{running.pid}/maps").read_text(encoding="utf-8"):
        assert time.monotonic() < until
        time.sleep(0.001)
