"""The commands of docs/experiments.md run, in order, in one folder that holds the files it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from triptych.cli import main

PAGE = Path(__file__).resolve().parents[2].joinpath("docs", "experiments.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def test_every_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for language in ("yaml", "json"):
        for text in blocks(language):
            path = Path(text.partition("\n")[0].lstrip("#/ "))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert commands
    for line in commands:
        assert main(shlex.split(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
        assert "┃" in capsys.readouterr().out, line
