"""The folder of one run: what it was asked, what it measured, and whether it is done.

experiment.yaml   all that was composed but the model and `compare`, with the origin of each value
spec.yaml         the model's spec with all that it inherits; it reads back to an equal one
metrics.jsonl     a JSON object a line, in the order of measuring
metrics.png       the numbers among them as bars, where there are several rows, or as curves over steps
result.json       the summary; it is there when the run is done
log.txt           when it began, was taken up again and ended, and why
"""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from triptych.errors import OptionError
from triptych.experiments.held import hold, keep
from triptych.experiments.plot import plot
from triptych.experiments.read import Ready
from triptych.experiments.whole import Row, append_row, number, read_rows
from triptych.whole_file import write_whole

logger = logging.getLogger(__name__)


@dataclass
class RunFolder:
    """An open run. `rows` are those measured so far; `result` is the summary of a run that is done, else None."""

    path: Path
    rows: list[Row]
    result: Row | None
    _metrics: BinaryIO

    @property
    def spec(self) -> Path:
        return self.path / "spec.yaml"

    @property
    def is_begun(self) -> bool:
        """Whether there is something to lose: a run that failed before its first row holds nobody to its mistakes."""
        return bool(self.rows) or self.result is not None

    def add(self, row: Row) -> None:
        """Keep a row. Raises OSError; the rows before it are kept."""
        append_row(self._metrics, row)
        self.rows.append(row)

    def finish(self, result: Row) -> None:
        """The run is done. Raises OSError; it is not done then."""
        shown, over = _over_steps(self.rows)
        if picture := plot(shown, [*map(_name, self.rows)], title=str(self.path), over=over):
            write_whole(self.path / "metrics.png", picture)
        write_whole(self.path / "result.json", f"{json.dumps(result, indent=2, ensure_ascii=False)}\n")
        self.result = result


class JoinedRun(RunFolder):
    """A run that another process has open, which writes it: rows and the result are noted here alone."""

    def add(self, row: Row) -> None:
        self.rows.append(row)

    def finish(self, result: Row) -> None:
        self.result = result


def join_run(path: Path) -> JoinedRun:
    """The run of a folder, as the first of several processes finds it or is about to make it."""
    return JoinedRun(path, [], _result(path / "result.json"), BytesIO())


def _name(row: Row) -> str:
    """What a row begins with: a prompt, a component, the number of a repeat."""
    return str(next(iter(row.values()), ""))


def _over_steps(rows: Sequence[Row]) -> tuple[Sequence[Row], list[float] | None]:
    """Rows of stages without their steps, and the steps, counted on from stage to stage; other rows as they are."""
    if not rows or not all("stage" in row and "step" in row for row in rows):
        return rows, None
    last = {str(row["stage"]): number(row, "step") for row in rows}
    before = dict(zip(last, accumulate(last.values(), initial=0.0), strict=False))
    shown = [{key: value for key, value in row.items() if key != "step"} for row in rows]
    return shown, [before[str(row["stage"])] + number(row, "step") for row in rows]


@contextmanager
def open_run(path: Path, ready: Ready, asked: Sequence[Row] | None = None) -> Iterator[RunFolder]:
    """Begin a run in a folder, or take up the one that was begun there.

    `asked` are the values that rows begin with, as far as they are known before. Raises OptionError when another
    experiment, another spec or other data was begun there, with every difference, and while another process runs it;
    OSError when nothing can be written.
    """
    path.mkdir(parents=True, exist_ok=True)
    with open(path / "metrics.jsonl", "a+b", buffering=0) as metrics, _logged(path / "log.txt"):
        _lock(metrics, path)
        folder = RunFolder(path, read_rows(metrics), _result(path / "result.json"), metrics)
        keep({path / "experiment.yaml": ready.tree, folder.spec: ready.spec}, begun=folder.is_begun)
        if asked is not None:
            hold(folder.rows, asked, path=path, done=folder.result is not None)
        logger.info("%s, with %d rows there", "done before" if folder.result is not None else "begun", len(folder.rows))
        try:
            yield folder
        except BaseException as error:
            logger.error("%s: %s", type(error).__name__, error)
            raise
        logger.info("ended, with %d rows", len(folder.rows))


def _result(path: Path) -> Row | None:
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    raise OptionError(f"{path} was changed and is no JSON object; without it the run is taken up again")


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OptionError(f"{path}: another process is running this") from None


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """What triptych logs goes to the file too."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root, level = logging.getLogger("triptych"), logging.getLogger("triptych").level
    root.addHandler(handler)
    root.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
