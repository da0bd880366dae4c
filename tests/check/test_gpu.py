"""The rung `gpu`: what a model launches is compiled for a GPU that is not there, and what it does not is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from triptych.check import check_spec
from triptych.cli import main
from triptych.errors import OptionError
from triptych.kernels import compiling
from triptych.kernels.rms_norm import kernel
from triptych.spec.rungs import GPUS, Rung

MINE = """\
schema: 1
language_model:
  width: =config.width
  embed: {vocab: 8}
  layers: {count: 1, block: layer}
  norm: norm
  head: {tied: true}
blocks: {layer: {mix: {norm: norm, mixer: mlp}}}
parts: {mlp: {use: gated_mlp, hidden: 16, activation: silu}, norm: {use: rms_norm, eps: 1.0e-5}}
sample: {width: 32}
"""


def climbed(spec: str, gpu: str | None = "sm_90") -> Rung:
    report = check_spec(spec, gpu=gpu)
    assert all(rung.state != "failed" for rung in report.rungs[:-1]), report
    return report.rungs[-1]


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "my.yaml").write_text(MINE, encoding="utf-8")
    return str(tmp_path / "my.yaml")


@pytest.mark.parametrize("gpu", GPUS)
def test_each_op_that_a_model_runs_is_told_with_what_it_takes(mine: str, gpu: str) -> None:
    rung = climbed(mine, gpu)
    assert rung.state == "passed", rung
    assert [note.partition(":")[0] for note in rung.notes] == ["gated", "rms_norm"]
    assert all("1 kernel, at most " in note and note.endswith(", nothing spilled") for note in rung.notes)


def test_an_op_that_a_kernel_does_not_take_is_told_with_the_reason(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "WIDEST", 16)
    assert climbed(mine).notes[1:] == ["rms_norm: plain torch, for rows are 32 wide, more than 16"]


def test_a_kernel_that_does_not_fit_fails_the_rung(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compiling.SHARED, 90, -1)
    rung = climbed(mine)
    assert rung.state == "failed"
    assert {problem.path for problem in rung.problems} == {"gated", "rms_norm"}
    assert all("bytes of shared memory, of -1 that there are" in problem.message for problem in rung.problems)


def test_a_decoder_is_compiled_for_prompts_and_for_the_tokens_after_them() -> None:
    notes = {note.partition(":")[0]: note for note in climbed("falcon").notes}
    assert [*notes] == ["attention", "layer_norm", "qk_norm_rope_cache"]
    assert "attention: 4 kernels" in notes["attention"]  # a prompt, two sizes of pages, and the parts joined


def test_without_a_gpu_that_is_named_nothing_is_compiled(mine: str) -> None:
    assert climbed(mine, None).skipped == "no GPU; --gpu sm_90 names one"
    assert climbed("sparse").skipped.startswith("a fragment")


def test_the_flag_alone_means_an_h100(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", mine, "--gpu"]) == 0
    assert "gpu: passed (gated: 1 kernel" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["sm90", "h100", "90", "", "sm_86"])
def test_an_architecture_that_is_not_known_is_refused_with_those_that_are(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message = f"no architecture {word!r} here; known: sm_80 (A100), sm_90 (H100), sm_100 (B200)"
    with pytest.raises(SystemExit) as ended:
        main(["check", "llama", "--gpu", word])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    with pytest.raises(OptionError, match="no architecture"):
        check_spec("llama", gpu=word)


def test_without_triton_it_is_said_what_to_install(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "triptych.kernels.compiling")
    monkeypatch.setitem(sys.modules, "triton", None)
    assert [str(problem) for problem in climbed(mine).problems] == [
        "Triton is not installed, and it is what compiles kernels: pip install 'triton>=3.6' (for Linux)"
    ]


def test_in_the_interpreter_nothing_compiles(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triptych.check.gpu.interpreting", lambda: True)
    (problem,) = climbed(mine).problems
    assert "TRITON_INTERPRET is set" in problem.message
