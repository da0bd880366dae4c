"""JSON files of a checkpoint folder: its config, the index of its tensors, settings of its processors. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from triptych.errors import CheckpointError

MAX_JSON = 50_000_000


def read_json(file: Path) -> dict[str, Any]:
    """A JSON mapping. Raises CheckpointError that names the file and, for a mistake of form, its place."""
    try:
        with open(file, "rb") as opened:
            data = opened.read(MAX_JSON + 1)
        if len(data) > MAX_JSON:
            raise CheckpointError(f"{file}: more than {MAX_JSON} bytes")
        found = json.loads(data.decode())
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{file}:{error.lineno}:{error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, a number of thousands of digits, brackets without end
        raise CheckpointError(f"{file}: {error}") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{file}: a JSON mapping is wanted, not a {type(found).__name__}")
    return found
