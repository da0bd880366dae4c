"""A file of rows that only grows: a JSON object a line, each whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import BinaryIO

from triptych.errors import OptionError, Place, Problem, short
from triptych.whole_file import append_whole

Row = Mapping[str, object]


def read_rows(file: BinaryIO) -> list[Row]:
    """The whole rows of JSON lines; the beginning of one, which a broken run left at the end, is cut off.

    Raises OptionError, with the file as it was, for every whole line that is none.
    """
    file.seek(0)
    *lines, rest = file.read().split(b"\n")
    rows = [*map(_row, lines)]
    if wrong := [line for line, row in enumerate(rows, 1) if row is None]:
        raise OptionError(
            Problem(
                "was changed and is no JSON object; a run is taken up from whole rows", place=Place(file.name, n, 1)
            )
            for n in wrong
        )
    file.seek(-len(rest), os.SEEK_END)
    file.truncate()
    return [row for row in rows if row is not None]


def append_row(file: BinaryIO, row: Row) -> None:
    """Add a row as a JSON line to a file without a buffer. Raises OSError, with the file as it was."""
    append_whole(file, f"{json.dumps(row, ensure_ascii=False)}\n".encode())


def _row(line: bytes) -> Row | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def number(row: Row, key: str) -> float:
    """A number that a task wrote in a row. Raises OptionError for a row that was changed since."""
    value = row.get(key)
    if not isinstance(value, int | float):
        raise OptionError(f"a row of the run was changed: {short(value)} is no number", path=key)
    return value
