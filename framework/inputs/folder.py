"""Small files of a checkpoint folder, which may be absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from triptych.errors import CheckpointError
from triptych.spec.json_file import read_json

MAX_BYTES = 2**20


def read_json_if_any(file: Path) -> dict[str, Any]:
    """The JSON mapping in a file; empty when there is no such file. Raises CheckpointError when it is none."""
    return read_json(file) if file.is_file() else {}


def read_text(file: Path) -> str:
    """The text of a file. Raises CheckpointError when it is too large, unreadable or not UTF-8."""
    try:
        if (size := file.stat().st_size) > MAX_BYTES:
            raise CheckpointError(f"{file}: has {size:,} bytes; at most {MAX_BYTES:,} are read")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{file}: is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}") from error
