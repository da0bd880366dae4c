"""What tells one checkpoint from another: the content of every file that a model is loaded from."""

from __future__ import annotations

from hashlib import file_digest, sha256
from pathlib import Path

from triptych.tasks.source import HUB_FILES


def fingerprint(folder: Path) -> str:
    """SHA-256 over the names and the content of a folder's files, whatever their dates. Raises OSError."""
    found = sha256()
    for file in sorted({file for pattern in HUB_FILES for file in folder.rglob(pattern) if file.is_file()}):
        with open(file, "rb") as opened:
            content = file_digest(opened, "sha256").hexdigest()
        found.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode())
    return found.hexdigest()
