"""`triptych experiment`: what it prints, what it writes, and with which status it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import command
from tests.cli.command import Capture


def ran(capsys: Capture, *words: str) -> tuple[int, str, str]:
    return command.ran(capsys, "experiment", *words)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def cells(table: str) -> list[list[str]]:
    """The rows of a printed table, the head first."""
    rows = [line.replace("┃", "│").strip("│").split("│") for line in table.splitlines() if line[0] in "┃│"]
    return [[cell.strip() for cell in row] for row in rows]


def test_a_check_ends_with_a_table_of_what_was_measured(capsys: Capture) -> None:
    status, out, _ = ran(capsys, "assemble", "tower=siglip")
    assert status == 0
    head, row = cells(out)
    found = dict(zip(head, row, strict=True))
    assert (found["experiment"], found["image_tokens"], found["width"]) == ("assemble", "16", "64")
    assert int(found["parameters"].replace(",", "")) > 100_000


def test_what_a_user_got_wrong_is_said_on_stderr_with_status_1(capsys: Capture) -> None:
    status, out, err = ran(capsys, "assemble", "tower=clop")
    assert (status, out) == (1, "")
    assert err == "override 'tower=clop': unknown tower 'clop'; did you mean 'clip'?\n"
    status, _, err = ran(capsys, "assemble", "model.projectors.image.mlp=null")
    assert status == 1
    assert "projectors" in err
