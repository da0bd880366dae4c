"""Random configs: the same every time, changes of several cases together, and what differs is told and fails."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.parity import random_configs
from tests.parity.cases import Case
from tests.parity.measure import cases
from triptych.errors import SpecError

ROOT = Path(__file__).resolve().parent.parent.parent


def tried(
    monkeypatch: pytest.MonkeyPatch, answer: Any, examples: int = 30, spec: str = "gemma2"
) -> tuple[random_configs.Tally, list[Case]]:
    seen = list[Case]()

    def error_of(case: Case) -> tuple[float, float]:
        seen.append(case)
        if isinstance(answer, Exception):
            raise answer
        return float(answer), 1e-5

    monkeypatch.setattr(random_configs, "error_of", error_of)
    return random_configs.tally(spec, examples=examples), seen


def test_they_are_the_same_every_time_and_differ_from_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (tried(monkeypatch, 0)[1] for _ in range(2))
    assert first == second
    assert len({str(case) for case in first}) > 15


def test_they_are_of_cases_whose_files_are_rewritten_in_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tried(monkeypatch, 0, spec="sarvam_moe")[1]
    halves = [case.alias is not None and "partial_rotary_factor" in case.alias["set"] for case in seen]
    assert {*halves} == {True, False}
    assert halves == [case.config["rope_parameters"]["partial_rotary_factor"] == 0.5 for case in seen]


def test_some_have_the_changes_of_several_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = cases()["gemma2"][0].config
    changed = [{k for k, v in case.config.items() if plain.get(k, ...) != v} for case in tried(monkeypatch, 0)[1]]
    singles = [{k for k, v in case.config.items() if plain.get(k, ...) != v} for case in cases()["gemma2"]]
    assert sum(found not in singles for found in changed) > 10


@pytest.mark.parametrize(
    ("answer", "end", "wrong"),
    [(1e-6, "same", 0), (1e-2, "wrong", 5), (SpecError("no"), "refused", 0), (ValueError("no"), "no reference", 0)],
)
def test_each_end_is_counted(answer: Any, end: str, wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = tried(monkeypatch, answer, examples=5)
    assert found.ends == {end: 5}
    assert len(found.wrong) == wrong


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.random_configs", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_tells_a_line_a_spec() -> None:
    done = run("--examples", "3", "llama")
    assert re.fullmatch(r"llama: 3 same; worst [1-9]e-0[67]\n1 specs, 0 configs with other .*\n", done.stdout), done
    assert done.returncode == 0
    assert "no parity cases of lama; there are of" in run("lama").stderr


def test_an_unknown_revision_is_told_in_a_line() -> None:
    done = run("--changed-since", "nowhere")
    assert done.returncode == 2
    assert "--changed-since nowhere: fatal: bad revision 'nowhere'" in done.stderr
    assert "Traceback" not in done.stderr
