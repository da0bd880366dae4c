"""What an experiment does, by the name of its task: rows of measurements, each one whole when it comes.

The modules that do it are imported here, and torch with them: not before all that an experiment says is sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych.experiments import answering, bench, check, score, stages
from triptych.experiments.document import Task
from triptych.experiments.folder import RunFolder
from triptych.experiments.read import Ready
from triptych.experiments.whole import Row


@dataclass(frozen=True)
class Work:
    """A task: what is asked of each row, where that is known; how its rows come to a folder; their sum."""

    asked: Callable[[Ready], Sequence[Row]] | None
    measure: Callable[[Ready, RunFolder], None]
    summary: Callable[[Sequence[Row]], Row]


def _each(rows: Callable[[Ready, Path, int], Iterator[Row]]) -> Callable[[Ready, RunFolder], None]:
    """Rows one after the other, of which the first are there."""

    def measure(ready: Ready, folder: RunFolder) -> None:
        for row in rows(ready, folder.spec, len(folder.rows)):
            folder.add(row)

    return measure


TASKS: Mapping[Task, Work] = {
    "check": Work(None, _each(check.rows), check.summary),
    "generate": Work(answering.asked, _each(answering.answers), answering.speed),
    "score": Work(score.asked, _each(score.rows), score.summary),
    "bench": Work(bench.asked, _each(bench.rows), bench.medians),
    "train": Work(None, stages.measure, stages.summary),
}
