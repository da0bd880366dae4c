"""A run that was begun is held to what it was asked then: its experiment, its spec, its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

from triptych.errors import OptionError, Place, Problem, short
from triptych.experiments.whole import Row
from triptych.spec.compare import Said, differences
from triptych.spec.document import Tree, read_document
from triptych.spec.render import render
from triptych.whole_file import write_whole

ANOTHER = Problem("this is another run; another `run.folder` begins it")


def keep(asked: Mapping[Path, Tree], *, begun: bool) -> None:
    """Write what is asked, or hold it to what was asked when the run was begun.

    Raises OptionError with every difference, OSError when it cannot be written.
    """
    changed = [
        Problem(f"{_said(each.left)} when this run was begun, {_said(each.right)} now", each.path, _whole(path))
        for path, tree in asked.items()
        if begun and path.exists()
        for each in differences(read_document(path), tree)
    ]
    if changed:
        raise OptionError([*changed, ANOTHER])
    for path, tree in asked.items():
        if not (begun and path.exists()):
            write_whole(path, render(tree))


def hold(rows: Sequence[Row], asked: Sequence[Row], *, path: Path, done: bool) -> None:
    """Rows that are there are those of the first things that are asked; of all of them in a run that is `done`.

    `path` is the run's. Raises OptionError with every difference.
    """
    changed = [
        Problem(f"{_kept(row, key)} when this row was measured, {short(value)} now", key, place)
        for place, row, now in zip(_lines(path), rows, asked, strict=False)
        for key, value in now.items()
        if key not in row or row[key] != value
    ]
    there, wanted = len(rows), len(asked)
    if there > wanted or (done and there < wanted):
        changed.append(Problem(f"{there} rows were measured, and {wanted} are asked now", place=_whole(path)))
    if changed:
        raise OptionError([*changed, ANOTHER])


def _lines(path: Path) -> Iterator[Place]:
    return (Place(str(path / "metrics.jsonl"), line, 1) for line in count(1))


def _whole(path: Path) -> Place:
    return Place(str(path), 0, 0)


def _kept(row: Row, key: str) -> str:
    return short(row[key]) if key in row else "absent"


def _said(value: Said | None) -> str:
    return short(value.value) if value else "absent"
