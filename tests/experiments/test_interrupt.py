"""A run whose process is stopped while it writes: what was whole stays whole, and the same command ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROMPTS = 60
COMMAND = [sys.executable, "-m", "triptych.cli", "experiment", "speak", "data.prompts=[]", "data.file=data.jsonl"]


def begun(folder: Path) -> subprocess.Popen[str]:
    lines = [json.dumps({"prompt": f"number {number}"}) for number in range(PROMPTS)]
    (folder / "data.jsonl").write_text("\n".join(lines))
    # SIGINT may be ignored by whoever runs the tests in the background, and a child inherits that
    return subprocess.Popen(
        COMMAND,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # type: ignore[arg-type,return-value]  # noqa: PLW1509
    )


def measured(folder: Path) -> list[bytes]:
    (file,) = folder.glob("runs/speak/*/metrics.jsonl")
    return file.read_bytes().splitlines(keepends=True)


def wait_for_rows(folder: Path, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        if any(file.stat().st_size > 300 for file in folder.glob("runs/speak/*/metrics.jsonl")):
            return
        time.sleep(0.002)
    pytest.fail(f"it ended by itself: {process.communicate()[1]}")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_rows_that_were_whole_stay_and_the_same_command_measures_the_rest(how: signal.Signals, tmp_path: Path) -> None:
    process = begun(tmp_path)
    wait_for_rows(tmp_path, process)
    os.kill(process.pid, how)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode == (130 if how is signal.SIGINT else -how)
    before = [line for line in measured(tmp_path) if line.endswith(b"\n")]
    assert 0 < len(before) < PROMPTS
    assert not [*tmp_path.glob("runs/speak/*/result.json")]

    again = begun(tmp_path)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    after = measured(tmp_path)
    assert after[: len(before)] == before
    assert [json.loads(line)["prompt"] for line in after] == [f"number {number}" for number in range(PROMPTS)]
    assert [file.name for file in tmp_path.rglob("*.part")] == []
