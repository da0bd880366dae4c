"""Memory that steps free is there for the next ones: seen by the pages that a process is given."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from tests.runner.counting import Counting
from triptych.inputs.prompt import Prompt
from triptych.parts.step import Step
from triptych.runner import heap
from triptych.runner.generate import generate
from triptych.runner.options import SamplingOptions
from triptych.runner.protocols import TextModel
from triptych.runner.reading import read_prompts, step_of
from triptych.runner.request import Request, RunOptions

CPU = torch.device("cpu")
PAGES = 24 * 5 * 2**20 // mmap.PAGESIZE  # of the tensors of a round
ROUNDS = """
import ctypes, resource, torch
from triptych.runner.heap import keep_freed

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def layer():
    held = [torch.ones(24 * 2**20, dtype=torch.uint8) for _ in range(5)]
    while held:
        held.pop()

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # no huge pages, of which there would be few
keep_freed(torch.device("cpu"))
counts = []
for _ in range(8):
    before = faults()
    layer()
    counts.append(faults() - before)
print(min(counts))
"""
with_glibc = pytest.mark.skipif(
    sys.platform != "linux" or heap._glibc() is None or ctypes.sizeof(ctypes.c_long) != 8,
    reason="this is about glibc on 64 bits",
)


def faults(**environment: str) -> int:
    """Pages that a round of 120 MiB is given, of eight the one with the fewest: how a heap grows is no matter here."""
    kept = {name: value for name, value in os.environ.items() if not heap.is_told({name: value})}
    command = [sys.executable, "-c", ROUNDS]
    told = subprocess.run(command, env={**kept, **environment}, check=True, capture_output=True, text=True).stdout
    return int(told)


@with_glibc
def test_pages_are_given_once() -> None:
    assert faults() < PAGES / 50


@with_glibc
@pytest.mark.parametrize(
    "environment",
    [{"MALLOC_MMAP_THRESHOLD_": "1048576"}, {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1048576"}],
    ids=["variable", "tunable"],
)
def test_what_the_environment_says_stands(environment: dict[str, str]) -> None:
    assert faults(**environment) > PAGES / 2  # each tensor is a mapping of its own then


def test_the_words_of_an_environment() -> None:
    assert heap.is_told({"MALLOC_TRIM_THRESHOLD_": "0"})
    assert heap.is_told({"GLIBC_TUNABLES": "glibc.rtld.nns=4:glibc.malloc.top_pad=1"})
    assert not heap.is_told({"GLIBC_TUNABLES": "glibc.rtld.nns=4", "MALLOC_ARENA_MAX": "2"})


class Noughts(nn.Module):
    def forward(self, ids_T: Tensor, positions_T: Tensor, *, step: Step, inputs_embeds: Tensor | None) -> Tensor:
        assert len(positions_T) == step.bounds[-1]
        assert inputs_embeds is None
        return torch.zeros(len(ids_T), 4)


def no_name(name: None) -> None:
    raise TypeError(name)


@pytest.mark.parametrize("library", [lambda _: SimpleNamespace(mallopt=None), no_name], ids=["another", "windows"])
def test_no_other_library_is_touched(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    monkeypatch.setattr(ctypes, "CDLL", library)
    assert heap._glibc() is None


@pytest.mark.parametrize("path", ["written", "read"])
def test_what_runs_on_a_cpu_asks_for_it(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    asked: list[str] = []
    for name in (*heap.OWN_WORDS, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(heap, "_keep", lambda: asked.append(path))
    run, prompt = RunOptions(device=CPU, dtype=torch.float32), Prompt((5, 9))
    if path == "written":
        _ = [*generate(Counting(), [Request(prompt, SamplingOptions(max_tokens=1))], run=run)]
    else:
        read_prompts(cast(TextModel, Noughts()), [prompt], step_of([prompt], device=CPU), run=run)
    assert asked == [path]


def test_what_runs_elsewhere_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(heap, "_keep", lambda: asked.append(True))
    heap.keep_freed(torch.device("meta"))
    assert not asked


def test_what_glibc_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[int, int] = {}
    monkeypatch.setattr(heap, "_glibc", lambda: SimpleNamespace(mallopt=told.__setitem__))
    heap._keep.__wrapped__()
    assert told == {-1: 256 * 2**20, -3: 32 * 2**20}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
