"""An output that is taken up: wherever it was cut it ends in the same bytes, and nothing else goes into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych import whole_file
from triptych.errors import OptionError
from triptych.tasks.kept_rows import as_lines, open_rows

BEGUN: dict[str, Any] = {"command": "embed", "dtype": None, "input": "abc"}


def row(number: int, *, window: int, total: int) -> dict[str, object]:
    """A row whose bytes tell with which others it was made: only whole windows give them."""
    start = number // window * window
    return {"n": number, "é": "x" * (number % 7), "of": [start, min(start + window, total)]}


def run(out: Path, *, total: int, window: int, stop: int | None = None, begun: dict[str, Any] = BEGUN) -> None:
    """Write all rows, or leave after `stop` windows."""
    with open_rows(out, begun=begun, total=total, window=window) as kept:
        assert kept.done % window == 0 or kept.done == total
        for count, start in enumerate(range(kept.done, total, window)):
            if count == stop:
                return
            numbers = range(start, min(start + window, total))
            kept.add([row(number, window=window, total=total) for number in numbers])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@settings(deadline=None)  # each window waits for the disk
@given(total=st.integers(0, 30), window=st.integers(1, 9), data=st.data())
def test_wherever_it_is_cut_it_ends_in_the_bytes_of_a_run_in_one_piece(
    total: int, window: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("a")
    run(folder / "whole", total=total, window=window)
    wanted = (folder / "whole").read_bytes()
    assert wanted == as_lines([row(n, window=window, total=total) for n in range(total)]).encode()
    run(folder / "cut", total=total, window=window)
    for _ in range(3):
        with open(folder / "cut", "r+b") as file:
            file.truncate(data.draw(st.integers(0, len(wanted))))
        run(folder / "cut", total=total, window=window, stop=data.draw(st.integers(0, 3)))
    run(folder / "cut", total=total, window=window)
    assert (folder / "cut").read_bytes() == wanted


def test_rows_that_are_there_are_not_made_again(out: Path) -> None:
    run(out, total=10, window=4, stop=2)
    with open_rows(out, begun=BEGUN, total=10, window=4) as kept:
        assert kept.done == 8
    run(out, total=10, window=4)
    with open_rows(out, begun=BEGUN, total=10, window=4) as kept:
        assert kept.done == 10


def test_another_run_is_refused_with_every_difference(out: Path) -> None:
    run(out, total=10, window=4, stop=1)
    before = out.read_bytes()
    with pytest.raises(OptionError) as caught:
        run(out, total=10, window=4, begun={"command": "embed", "dtype": "float32", "input": "other", "more": True})
    assert str(caught.value).splitlines() == [
        f"dtype: None when {out} was begun, 'float32' now",
        f"input: 'abc' when {out} was begun, 'other' now",
        f"more: absent when {out} was begun, True now",
        "this is another run; another --out begins it",
    ]
    assert out.read_bytes() == before


@pytest.mark.parametrize("beside", [None, "{", "[]"])
def test_what_something_else_wrote_is_left_alone(beside: str | None, out: Path) -> None:
    out.write_text("mine\n")
    if beside is not None:
        (out.parent / "out.jsonl.begun.json").write_text(beside)
    with pytest.raises(OptionError, match=r"out: .* is there, and no out\.jsonl\.begun\.json beside it says"):
        run(out, total=10, window=4)
    assert out.read_text() == "mine\n"


def test_an_output_of_which_nothing_is_left_begins_anew(out: Path) -> None:
    run(out, total=3, window=4)
    out.unlink()
    run(out, total=5, window=4, begun={**BEGUN, "input": "other"})
    assert len(out.read_text().splitlines()) == 5
    assert json.loads((out.parent / "out.jsonl.begun.json").read_text())["input"] == "other"


def test_rows_beyond_the_last_are_refused(out: Path) -> None:
    run(out, total=3, window=4)
    with open(out, "a") as file:
        file.write("{}\n")
    with pytest.raises(OptionError, match="has more rows than the 3 there are to be"):
        run(out, total=3, window=4)


def test_two_processes_do_not_write_one_output(out: Path) -> None:
    with open_rows(out, begun=BEGUN, total=3, window=4), pytest.raises(OptionError, match="another process is writing"):
        run(out, total=3, window=4)


@pytest.mark.parametrize("where", [".", "/dev/null"])
def test_what_is_no_file_is_no_output(where: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="is no file that rows can be added to"):
        run(tmp_path / where, total=3, window=4)


def test_a_disk_that_fills_up_leaves_whole_windows(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(out, total=10, window=4, stop=1)
    before = out.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_file.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        run(out, total=10, window=4)
    assert out.read_bytes() == before
    monkeypatch.undo()
    run(out, total=10, window=4)
    assert len(out.read_text().splitlines()) == 10
