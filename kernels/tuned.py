"""Launch configurations that were measured: one table an op and kind of GPU, looked up by a bucket of shapes.

A table is `kernels/<op>/tuned/<kind of GPU>.json`, bucket -> configuration; an op says which buckets it knows, and has
a rule for those that no table holds. Nothing is tuned while a model runs: benchmarks/tune.py writes tables.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

# As compiled code is; Triton 3.9 asks for a word, since 3.10 leaves products and sums apart unless told.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

Config = Mapping[str, int]
SMS = 132  # of an H100, for which kernels are compiled where there is no GPU
without_gpu: ContextVar[int] = ContextVar("without_gpu", default=90)  # or for this compute capability, times 10


@dataclass(frozen=True)
class _Trial:
    op: str
    configs: Mapping[str, Config]
    asked: set[str]


_trial: ContextVar[_Trial | None] = ContextVar("trial", default=None)


def tuned(op: str, device: torch.device, bucket: str) -> Config | None:
    """The measured configuration, if there is one."""
    if (trial := _trial.get()) is not None and trial.op == op:
        trial.asked.add(bucket)
        return trial.configs.get(bucket)
    return _table(op, gpu_kind(device)).get(bucket) if device.type == "cuda" else None


@contextmanager
def trying(op: str, configs: Mapping[str, Config]) -> Iterator[set[str]]:
    """Calls of an op inside take these configurations, by bucket, or its rule -> the buckets that they ask for."""
    trial = _Trial(op, configs, set())
    token = _trial.set(trial)
    try:
        yield trial.asked
    finally:
        _trial.reset(token)


def table_file(op: str, kind: str, folder: Path = Path(__file__).parent) -> Path:
    """Where the table of an op for a kind of GPU stands."""
    return folder / op / "tuned" / f"{kind}.json"


@cache
def gpu_kind(device: torch.device) -> str:
    """A GPU's name as that of a file: `nvidia_h100_80gb_hbm3`."""
    return re.sub(r"\W+", "_", torch.cuda.get_device_name(device).lower())


@cache
def multiprocessors(device: torch.device) -> int:
    """How many blocks of threads a GPU runs side by side, at least."""
    if device.type != "cuda":
        return SMS
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def registers(num_warps: int) -> int:
    """As many as a thread may have. Told so (`maxnreg`), the assembler spills none to have room for more blocks."""
    return min(255, 2**16 // (32 * num_warps))


def capability(device: torch.device) -> int:
    """Ten times the compute capability of a GPU: 80 of an A100, 90 of an H100."""
    return _capability(device) if device.type == "cuda" else without_gpu.get()


@cache
def _capability(device: torch.device) -> int:
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


@cache
def _table(op: str, kind: str) -> Mapping[str, Config]:
    file = table_file(op, kind)
    found: Mapping[str, Config] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return found
