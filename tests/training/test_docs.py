"""The experiment and the commands of docs/train.md run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.training.colours import write_pictures
from triptych.cli import main

pytest.importorskip("accelerate")
PAGE = Path(__file__).resolve().parents[2].joinpath("docs", "train.md").read_text(encoding="utf-8")


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_pictures()
    for name in ("train", "held_out"):
        Path(f"{name}.jsonl").write_text(Path("data.jsonl").read_text())
    (experiment,), (commands,) = (re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.M | re.S) for kind in ("yaml", "sh"))
    path = Path(experiment.partition("\n")[0].lstrip("# "))
    path.parent.mkdir(parents=True)
    path.write_text(experiment)
    for line in commands.splitlines():
        assert main(shlex.split(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
