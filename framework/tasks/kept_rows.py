"""An output file of JSON lines that a broken run leaves as it can be taken up again, to the same bytes.

What a run was begun with stands beside its output, in `OUT.begun.json`.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from triptych.errors import OptionError, Problem, short
from triptych.whole_file import append_whole, write_whole

Row = Mapping[str, object]


@dataclass
class KeptRows:
    """An open output. `done` rows are there; they are a whole number of windows, or all that there are to be."""

    done: int
    _file: BinaryIO

    def add(self, rows: Sequence[Row]) -> None:
        """Write the rows of a window. Raises OSError; those before them are kept."""
        append_whole(self._file, as_lines(rows).encode())
        self.done += len(rows)


@contextmanager
def open_rows(path: Path, *, begun: Row, total: int, window: int) -> Iterator[KeptRows]:
    """Begin an output of `total` rows, or take up the one that is there, where a window of rows ends.

    `begun` is all that its bytes follow from. Raises OptionError for an output that was begun with anything else, with
    every difference, for one that something else wrote, and while another process writes it; OSError when it cannot be
    written.
    """
    if path.exists() and not path.is_file():
        raise OptionError(f"{path} is no file that rows can be added to", path="out")
    with open(path, "a+b", buffering=0) as file:
        _lock(file, path)
        _hold(file, path, begun)
        with open(path, "rb") as written:
            done, end = _whole(written, total=total, window=window)
        if done > total:
            raise OptionError(f"{path} has more rows than the {total} there are to be; it was changed", path="out")
        file.truncate(end)
        yield KeptRows(done, file)


def as_lines(rows: Sequence[Row]) -> str:
    """Each row as one line of JSON."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OptionError(f"{path}: another process is writing this", path="out") from None


def _hold(file: BinaryIO, path: Path, begun: Row) -> None:
    """Write what it is begun with, or hold it to what it was begun with."""
    beside = path.with_name(f"{path.name}.begun.json")
    if not file.seek(0, 2):
        write_whole(beside, f"{json.dumps(begun, indent=1, ensure_ascii=False)}\n")
        return
    before = _begun(beside, path)
    names = dict.fromkeys([*before, *begun])
    changed = [
        Problem(f"{_said(before, name)} when {path} was begun, {_said(begun, name)} now", name)
        for name in names
        if before.get(name) != begun.get(name)
    ]
    if changed:
        raise OptionError([*changed, Problem("this is another run; another --out begins it")])


def _begun(beside: Path, path: Path) -> Row:
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        found = None
    if not isinstance(found, dict):
        why = f"{path} is there, and no {beside.name} beside it says what it was begun with"
        raise OptionError(f"{why}; another --out, or without it the run begins anew", path="out")
    return found


def _said(values: Row, name: str) -> str:
    return short(values[name]) if name in values else "absent"


def _whole(file: BinaryIO, *, total: int, window: int) -> tuple[int, int]:
    """How many rows are to be kept, and where they end: whole windows, or all."""
    rows, end, kept = 0, 0, (0, 0)
    for line in file:
        if not line.endswith(b"\n"):
            break
        rows, end = rows + 1, end + len(line)
        if rows % window == 0 or rows >= total:
            kept = rows, end
    return kept
