"""What is told of a checkpoint's own processor that cannot be made."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from triptych.errors import CheckpointError

OPTIONAL = ("torchvision", "torchaudio")  # which some classes of transformers insist on, and nothing else here needs


def unusable(folder: Path, *, what: str, error: Exception) -> CheckpointError:
    """The error for a folder without `what`, or with one that cannot be made: by a library that is not there, if so."""
    said = str(error).replace(str(folder), "").lower()
    for library in OPTIONAL:
        if library in said and find_spec(library) is None:
            told = f"its {what} is of a class that insists on {library}, which is not installed"
            cure = f"pip install {library}, or give rows that were encoded elsewhere (MultiModalSettings(embeds=True))"
            return CheckpointError(f"{folder}: {told}: {cure}")
    return CheckpointError(f"{folder}: has no {what} that can be used: {error}")
