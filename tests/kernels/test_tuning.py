"""The script that tunes: what is fastest wins if it is sound, and what is written is what kernels look up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.beside import ROOT, imported
from triptych.kernels import tuned as tables
from triptych.kernels.attention.on_gpu import sizes
from triptych.kernels.moe.on_gpu import products

tune, spaces = imported("benchmarks", "tune"), imported("benchmarks", "tune_spaces")
FAST, SLOW, OTHER = {"ROWS": 4, "num_warps": 2}, {"ROWS": 1, "num_warps": 4}, {"ROWS": 2, "num_warps": 4}
BUCKET = "64"  # of the rows that are rehearsed
GPU = torch.device("cuda")


def in_effect() -> tables.Config | None:
    """The configuration that is tried at the moment."""
    trial = tables._trial.get()
    assert trial is not None
    return trial.configs.get(BUCKET)


def clock(times: Sequence[tuple[tables.Config | None, float]]) -> Callable[[object], float]:
    return lambda calls: next(us for config, us in times if config == in_effect())  # noqa: ARG005


def machine(*times: tuple[tables.Config | None, float], problems: Callable[[Any], list[str]] = lambda _: []) -> Any:
    return tune.Machine("some_gpu", problems, clock([*times]), small=True)


def tuner(machine: Any) -> Any:
    space = spaces.Space("rms_norm", lambda bucket: iter([SLOW, FAST, OTHER]))  # noqa: ARG005
    return tune.Tuner(space, machine)


TIMES = ((None, 10.0), (SLOW, 12.0), (FAST, 4.0), (OTHER, 9.0))


@pytest.mark.interpret
def test_the_fastest_configuration_is_what_a_kernel_looks_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = tuner(machine(*TIMES)).tuned()
    assert (found.bucket, found.config, found.share, found.tried, found.left_out) == (BUCKET, FAST, 0.4, 3, 0)
    tune.write([found], "some_gpu", tmp_path)
    monkeypatch.setattr(tables, "table_file", partial(tables.table_file, folder=tmp_path))
    monkeypatch.setattr(tables, "gpu_kind", lambda _: "some_gpu")
    tables._table.cache_clear()
    assert tables.tuned("rms_norm", GPU, BUCKET) == FAST
    assert tables.tuned("rms_norm", GPU, "128") is None
    assert tables.tuned("rms_norm", torch.device("cpu"), BUCKET) is None


@pytest.mark.interpret
def test_what_gives_something_else_is_left_out() -> None:
    chosen = tuner(machine(*TIMES))
    op = chosen._op
    chosen._op = lambda **given: op(**given) + (0.01 if tables._trial.get() and in_effect() == FAST else 0)
    (found,) = chosen.tuned()
    assert (found.config, found.left_out) == (OTHER, 1)


@pytest.mark.interpret
def test_what_does_not_run_well_is_left_out() -> None:
    def spills(call: Callable[[], object]) -> list[str]:
        call()
        return ["16 bytes of stack a thread: registers are spilled"] if in_effect() == FAST else []

    (found,) = tuner(machine(*TIMES, problems=spills)).tuned()
    assert (found.config, found.left_out) == (OTHER, 1)
    (found,) = tuner(machine(*TIMES, problems=lambda _: ["never"])).tuned()
    assert (found.config, found.left_out) == (None, 3)


@pytest.mark.interpret
def test_what_is_faster_by_no_more_than_noise_is_not_kept(tmp_path: Path) -> None:
    file = tables.table_file("rms_norm", "some_gpu", tmp_path)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({BUCKET: OTHER, "128": SLOW}), encoding="utf-8")
    (found,) = tuner(machine((None, 10.0), (SLOW, 12.0), (FAST, 9.9), (OTHER, 11.0))).tuned()
    assert (found.config, found.share) == (None, 0.99)
    assert tune.write([found], "some_gpu", tmp_path) == [file]
    assert json.loads(file.read_text(encoding="utf-8")) == {"128": SLOW}, "what other runs found stays"


@pytest.mark.interpret
def test_a_time_that_does_not_repeat_is_not_kept() -> None:
    """The least of many times is less than any is on the whole; the rule and the winner are timed once more."""
    taken = (us for us in (10.0, 12.0, 4.0, 9.0, 10.0, 9.9) for _ in range(2))  # two sizes ask for the bucket
    chosen = tuner(tune.Machine("some_gpu", lambda _: [], lambda _: next(taken), small=True))
    (found,) = chosen.tuned()
    assert (found.config, found.share) == (None, 0.99)


@pytest.mark.interpret
def test_each_bucket_of_a_call_is_tuned_with_what_was_found_for_those_before() -> None:
    space = spaces.Space("moe", spaces.experts)
    seen: list[dict[str, Any]] = []

    def us(_: object) -> float:
        trial = tables._trial.get()
        assert trial is not None
        seen.append({**trial.configs})
        return 10.0 - 4 * len(trial.configs)

    first, second = tune.Tuner(space, tune.Machine("some_gpu", lambda _: [], us, small=True)).tuned()
    assert {first.bucket, second.bucket} == {"16 rows, gate and up, 4 bytes", "16 rows, one matrix, 4 bytes"}
    assert first.config == second.config == {"COLUMNS": 32, "STEP": 32, "num_warps": 4, "num_stages": 3}
    assert {first.bucket: first.config} in seen, "the rule of the second, beside what the first got"
    assert seen[-1] == {first.bucket: first.config, second.bucket: second.config}


def test_numbers_that_are_none_agree_with_nothing() -> None:
    right, none = torch.tensor([1.0, 2.0]), torch.tensor([1.0, float("nan")])
    assert tune.agree([right], [right + 1e-6])
    assert not tune.agree([right], [right + 1e-3])
    assert not tune.agree([none], [none])
    assert not tune.agree([right, torch.tensor([1])], [right, torch.tensor([2])])


def test_what_is_tuned_for_two_bytes_is_not_taken_for_four() -> None:
    few, parts, of_queries = {"M": 64, "N": 32, "num_warps": 2, "num_stages": 5}, {"N": 128}, {"M": 16, "N": 16}
    own = {"few rows of 64": few, "parts of 16 rows of 64": parts, "gradients of queries of 64": of_queries}
    with tables.trying("attention", own) as asked:
        assert sizes.tile(8, 64, torch.bfloat16, GPU) == few
        assert sizes.tile(8, 64, torch.float32, torch.device("cpu"))["num_stages"] == 1
        assert sizes.part_tile(8, 64, torch.float32, torch.device("cpu"))["N"] == 16
        assert sizes.backward_tile("queries", 64, torch.float16, GPU) == of_queries
        assert sizes.backward_tile("queries", 64, torch.float32, torch.device("cpu"))["N"] == 32
    assert asked >= {"few rows of 64", "few rows of 64, 4 bytes", "parts of 16 rows of 64, 4 bytes"}
    with tables.trying("moe", {"16 rows, one matrix": {"STEP": 256}}):
        steps = [
            products._tile(torch.zeros(1, dtype=dtype), 16, 64, 64, halves=False)["STEP"]
            for dtype in (torch.bfloat16, torch.float32)
        ]
    assert steps == [256, 32]


def test_a_trial_is_of_one_op_and_ends() -> None:
    with tables.trying("rms_norm", {BUCKET: FAST}) as asked:
        assert tables.tuned("rms_norm", torch.device("cpu"), BUCKET) == FAST
        assert tables.tuned("rms_norm", torch.device("cpu"), "128") is None
        assert tables.tuned("rotary", torch.device("cpu"), BUCKET) is None
    assert asked == {BUCKET, "128"}
    assert tables.tuned("rms_norm", torch.device("cpu"), BUCKET) is None


def test_every_op_that_looks_up_a_table_is_tuned() -> None:
    """add_rms_norm runs the kernel of rms_norm."""
    files = [file for file in (ROOT / "kernels").glob("*/**/*.py") if "tuned(" in file.read_text(encoding="utf-8")]
    assert {file.relative_to(ROOT / "kernels").parts[0] for file in files} == {space.op for space in spaces.SPACES}


def ran(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.tune", *map(str, words)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=240)


def test_without_a_gpu_nothing_is_tuned_and_that_is_told() -> None:
    done = ran("--op", "rms_norm")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "there is no GPU: nothing is tuned (--rehearse tries what would be)\n"
    assert "--rehearse needs --out, a folder" in ran("--rehearse").stderr


def test_a_rehearsal_goes_the_same_way(tmp_path: Path) -> None:
    ops = ("rms_norm", "qk_norm_rope_cache", "gated")
    done = ran("--rehearse", "--out", tmp_path, "--json", tmp_path / "all.json", *(f"--op={op}" for op in ops))
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["op"] for each in found} == {*ops}
    assert json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))["buckets"] == found
    assert {(each["tried"], each["left_out"]) for each in found} == {(tune.FEW, 0)}
    for each in found:
        table = json.loads(tables.table_file(each["op"], "rehearsed", tmp_path).read_text(encoding="utf-8"))
        assert table == ({each["bucket"]: each["config"]} if each["config"] else {})
