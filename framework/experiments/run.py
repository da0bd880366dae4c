"""One experiment from its name to its result."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from triptych.experiments.compose import compose
from triptych.experiments.folder import join_run, open_run
from triptych.experiments.folders import named_with_their_distribution
from triptych.experiments.processes import is_first, together
from triptych.experiments.read import Ready, read
from triptych.experiments.whole import Row

MAX_NAME = 120


@dataclass(frozen=True)
class Outcome:
    """What a run came to, the folder that it is kept in, and what of it a sweep shows: all, where nothing is named."""

    result: Row
    folder: Path
    compare: tuple[str, ...] = ()


def run_experiment(name: str, words: Sequence[str] = ()) -> Outcome:
    """Compose an experiment, check all of it, and run its task in the folder of these words.

    A run that was begun there is taken up where it stopped, and one that is done is not run again. Several processes
    train together; the first of them alone writes. Raises TriptychError with all that is wrong with the experiment
    before anything is written; then what the task raises, and OSError.
    """
    with named_with_their_distribution():
        ready = read(compose(name, words))
    path = folder_of(ready, words)
    joins = ready.settings.task == "train" and not is_first()
    if joins and (done := join_run(path).result) is not None:
        return Outcome(done, path)
    with together() if ready.settings.task == "train" else nullcontext():
        return _run(ready, path, joins=joins)


def _run(ready: Ready, path: Path, *, joins: bool) -> Outcome:
    from triptych.experiments.tasks import TASKS  # and torch with it

    work = TASKS[ready.settings.task]
    asked = work.asked(ready) if work.asked else None
    with nullcontext(join_run(path)) if joins else open_run(path, ready, asked) as folder:
        if (result := folder.result) is None:
            work.measure(ready, folder)
            folder.finish(result := work.summary(folder.rows))
        return Outcome(result, folder.path, ready.settings.compare)


def folder_of(ready: Ready, words: Sequence[str]) -> Path:
    """`run.folder`, the experiment's name, and the words that make this run another than its neighbours."""
    said = [word for word in words if not word.startswith("run.folder=")]
    return Path(ready.settings.run.folder, Path(ready.name).stem, folder_name(said))


def folder_name(words: Sequence[str]) -> str:
    """A name for a folder that only these words have."""
    said = ",".join(words)
    name = "".join(c if c.isalnum() or c in "=,._-+*" else "_" for c in said)
    if name != said or len(name) > MAX_NAME or set(name) == {"."}:  # two texts may not meet in one name, nor above it
        name = f"{name[:MAX_NAME]}-{sha256(said.encode()).hexdigest()[:8]}"
    return name or "as_it_is"
