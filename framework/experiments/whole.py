"""A file of rows that only grows: a JSON object a line, each whole or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import BinaryIO

from triptych.whole_file import append_whole

Row = Mapping[str, object]


def read_rows(file: BinaryIO) -> list[Row]:
    """The whole rows of JSON lines; what a broken run left after them is cut off."""
    file.seek(0)
    rows, end = list[Row](), 0
    for line in file:
        row = _row(line)
        if row is None:
            break
        rows.append(row)
        end += len(line)
    file.seek(end)
    file.truncate()
    return rows


def append_row(file: BinaryIO, row: Row) -> None:
    """Add a row as a JSON line to a file without a buffer. Raises OSError, with the file as it was."""
    append_whole(file, f"{json.dumps(row, ensure_ascii=False)}\n".encode())


def _row(line: bytes) -> Row | None:
    try:
        found = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def number(value: object) -> float:
    """A value of a row that its task wrote as a number."""
    assert isinstance(value, int | float)
    return value
