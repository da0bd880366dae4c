"""Files and folders that are written whole or not at all, and what is added to a file that only grows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that whoever opens it finds all that was there before or all of `content`. Text is UTF-8.

    A link stays one: the file that it leads to is written. What is there and no file, such as /dev/stdout, is given
    the content as it stands. Raises OSError.
    """
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def append_whole(file: BinaryIO, content: bytes) -> None:
    """Add to the end of an open file that has no buffer, all of it or nothing. Raises OSError."""
    end = file.seek(0, os.SEEK_END)
    try:
        left = memoryview(content)
        while left:  # a disk that fills up takes a part without a word
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except BaseException:
        file.truncate(end)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which stands at `path` when all of it is on the disk, and is gone when filling it fails.

    Nothing may stand at `path`. What a process that was killed left half filled is cleared away. Raises OSError.
    """
    part = part_of(path)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                _sync(file)
        os.rename(part, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def part_of(path: Path) -> Path:
    """Where a folder stands while it is filled."""
    return path.with_name(f".{path.name}.part")


def _sync(path: Path) -> None:
    """What was written is on the disk; of a folder, which files it has."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
