"""Which implementation of an op runs, and what is said of it."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import torch

from tests.kernels.call import calls
from triptych.errors import KernelError, OptionError
from triptych.kernels import choice
from triptych.kernels.choice import AUTO, Kernels, imagined_gpu, kernel_for, using, wants_kernel
from triptych.kernels.rms_norm import kernel, rms_norm

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS, WEIGHT = torch.ones(3, 8), torch.ones(8)


def test_plain_torch_runs_on_a_cpu_unless_the_kernel_is_asked_for() -> None:
    assert kernel_for("rms_norm", ROWS, WEIGHT) is None
    with using(Kernels.of("triton")), pytest.raises(KernelError, match=r"rms_norm: kernels are `triton`, but .*on cpu"):
        rms_norm(ROWS, WEIGHT, eps=1e-5)
    assert rms_norm(ROWS, WEIGHT, eps=1e-5).shape == ROWS.shape


def test_an_op_can_be_told_apart_from_the_others() -> None:
    with using(Kernels.of({"default": "triton", "rms_norm": "reference"})):
        assert kernel_for("rms_norm", ROWS, WEIGHT) is None
        with pytest.raises(KernelError):
            kernel_for("add_rms_norm", ROWS, WEIGHT)


def test_the_kernel_runs_where_it_can_and_what_runs_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choice, "interpreting", lambda: True)
    caplog.set_level(logging.INFO, "triptych.kernels")
    choice._log_once.cache_clear()
    with using(Kernels.of({"rms_norm": "triton"})):
        for _ in range(2):
            assert kernel_for("rms_norm", ROWS, WEIGHT) is kernel
        with pytest.raises(KernelError, match=r"but .*, and their weight is torch\.float16; `auto` runs"):
            kernel_for("rms_norm", ROWS, WEIGHT.half())
    assert caplog.messages == ["rms_norm: its Triton kernel"]


def test_what_is_added_to_rows_is_no_wider_than_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "interpreting", lambda: True)
    with using(Kernels.of({"add_rms_norm": "triton"})):
        assert kernel_for("add_rms_norm", ROWS, WEIGHT, ROWS.half())
        with pytest.raises(KernelError, match=r"rows are torch\.float16, and what is added to them is torch\.float32"):
            kernel_for("add_rms_norm", ROWS.half(), WEIGHT.half(), ROWS)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(OptionError) as caught:
        Kernels.of({"rms_nrom": "triton", "default": "fast", "rms_norm": 3})
    assert str(caught.value).splitlines() == [
        "kernels.rms_nrom: no such op; did you mean 'rms_norm'?",
        "kernels: is 'fast'; auto, triton, reference are known",
        "kernels.rms_norm: is 3; auto, triton, reference are known",
    ]
    with pytest.raises(OptionError, match=r"kernels: is 'gpu'; auto"):
        Kernels.of("gpu")
    assert Kernels.of("auto") == AUTO


def test_the_page_lists_the_kernels_that_there_are_their_gradients_and_what_was_timed() -> None:
    page = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|[^|]+\| (yes|no) \|[^|]+\| (yes|no) \|$", page, re.M)
    assert {op for op, *_ in listed} == {*choice.ops_with_kernels()}
    with_gradients = {call.op for call in calls("INTERPRETED") if call.gradients}
    assert {op for op, gradients, _ in listed if gradients == "yes"} == with_gradients
    results = " ".join(file.read_text("utf-8") for file in (ROOT / "benchmarks" / "results").glob("*.json"))
    assert {op for op, _, timed in listed if timed == "yes"} == {op for op, *_ in listed if f'"{op}"' in results}


def test_on_an_imagined_gpu_tensors_without_memory_are_chosen_for_and_each_choice_is_told() -> None:
    rows, weight, told = ROWS.to("meta"), WEIGHT.to("meta"), list[tuple[str, str | None]]()
    with imagined_gpu(lambda op, why: told.append((op, why))):
        assert wants_kernel("rms_norm", rows)
        assert kernel_for("rms_norm", rows, weight) is kernel
        assert kernel_for("rms_norm", rows, weight.half()) is None
        assert kernel_for("rms_norm", ROWS, WEIGHT) is None  # which has memory
        with using(Kernels.of("reference")):
            assert kernel_for("rms_norm", rows, weight) is None
    assert told == [("rms_norm", None), ("rms_norm", "rows are torch.float32, and their weight is torch.float16")]
    assert kernel_for("rms_norm", rows, weight) is None
    assert not wants_kernel("rms_norm", rows)
