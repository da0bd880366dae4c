"""Rows of a file -> results, a window at a time, in the order of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from triptych.errors import InputError, Problem
from triptych.inputs.lines import Lines, Told
from triptych.inputs.prompt import Prompt
from triptych.runner.request import RunOptions
from triptych.tasks.works import Work

Row = Mapping[str, object]
WINDOW = 512  # rows that are in memory at a time, and among which those of like length are read together


def check_taken(work: Work, lines: Lines, *, progress: Callable[[int], None] | None = None) -> None:
    """Raise InputError with every line whose texts the model does not take: those that are too long, say."""
    told = Told()
    for number, row in lines.rows():
        try:
            work.read(row)
        except InputError as error:
            told.add(Problem(p.message, p.path, lines.place(number)) for p in error.problems)
        if progress is not None:
            progress(number)
    told.check()


def results(work: Work, rows: Sequence[Row], *, run: RunOptions) -> list[Row]:
    """Each row with what comes of it; the same rows together give the same numbers to the last bit.

    Raises InputError with every row that the model does not take, by its number.
    """
    read = [*_read(work, rows)]
    found = work.pooling.rows_of_each(read, run=run)
    return [{**row, **work.result(each)} for row, each in zip(rows, found, strict=True)]


def windows(work: Work, lines: Lines, *, after: int, run: RunOptions, window: int) -> Iterator[list[Row]]:
    """The results of a file, window by window, but for the first `after` rows, which end one."""
    rows = (row for _, row in lines.rows(after=after))
    while group := list(islice(rows, window)):
        yield results(work, group, run=run)


def _read(work: Work, rows: Sequence[Row]) -> Iterator[tuple[Prompt, ...]]:
    problems = list[Problem]()
    for number, row in enumerate(rows):
        try:
            yield work.read(row)
        except InputError as error:
            name = f"rows[{number}]." if len(rows) > 1 else ""
            problems += [Problem(p.message, f"{name}{p.path}") for p in error.problems]
    if problems:
        raise InputError(problems)
