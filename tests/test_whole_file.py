"""A file is written whole or not at all, wherever its path leads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.full_disk import room_for
from triptych.whole_file import write_whole


@pytest.mark.parametrize("content", ["new \N{SNOWMAN}", "new \N{SNOWMAN}".encode()])
def test_text_and_bytes_replace_what_was_there(content: str | bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("something old and longer")
    write_whole(tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == "new \N{SNOWMAN}".encode()
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_a_file_that_cannot_be_written_whole_is_as_it_was(tmp_path: Path) -> None:
    write_whole(tmp_path / "x", "old")
    with room_for(10), pytest.raises(OSError, match="too large"):
        write_whole(tmp_path / "x", "new" * 10_000)
    assert (tmp_path / "x").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_who_reads_meanwhile_finds_the_old_file_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[str]()
    write_whole(tmp_path / "x", "old")
    monkeypatch.setattr(os, "fsync", lambda _: seen.append((tmp_path / "x").read_text()))
    write_whole(tmp_path / "x", "new")
    assert (seen, (tmp_path / "x").read_text()) == (["old"], "new")
    with open(tmp_path / "x") as begun:  # before it is replaced: this reader has the whole of the one it opened
        write_whole(tmp_path / "x", "newest")
        assert begun.read() == "new"


def test_a_link_stays_one_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/file")
    for text in ("one", "two"):  # made, then replaced
        write_whole(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "there" / "file").read_text() == text


def test_what_is_no_file_is_written_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_whole(tmp_path / "pipe", "text")
    assert (os.read(reader, 10), (tmp_path / "pipe").is_fifo()) == (b"text", True)
    os.close(reader)
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, "text")
