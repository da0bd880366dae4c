"""Data that an experiment makes itself, where they are not there yet."""

from __future__ import annotations

from pathlib import Path

from triptych.experiments.document import Experiment


def folder_to_make(settings: Experiment) -> Path | None:
    """The folder of `data.file`, where that is missing and it is said what is drawn then."""
    data = settings.data
    if data.make is None or data.file is None or (folder := Path(data.file).parent).exists():
        return None
    return folder


def kinds_to_make() -> set[str]:
    """The kinds of question that are drawn."""
    from triptych.handwriting.questions import KINDS

    return {*KINDS}


def make(folder: Path, settings: Experiment) -> None:
    """Draw them, all or none. Raises InputError where what draws them is not installed, OSError for a full disk."""
    from triptych.handwriting.files import Amount, write_data

    write_data(folder, amount=Amount(), seed=settings.run.seed)
