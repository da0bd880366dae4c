"""What an experiment does, by the name of its task: rows of measurements, each one whole when it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych.experiments import answering, bench, check, score
from triptych.experiments.document import Task
from triptych.experiments.read import Ready
from triptych.experiments.whole import Row


@dataclass(frozen=True)
class Work:
    """A task: what is asked of each row, where that is known; its rows, of which the first are there; their sum."""

    asked: Callable[[Ready], Sequence[Row]] | None
    rows: Callable[[Ready, Path, int], Iterator[Row]]
    summary: Callable[[Sequence[Row]], Row]


TASKS: Mapping[Task, Work] = {
    "check": Work(None, check.rows, check.summary),
    "generate": Work(answering.asked, answering.answers, answering.speed),
    "score": Work(score.asked, score.rows, score.summary),
    "bench": Work(bench.asked, bench.rows, bench.medians),
}
