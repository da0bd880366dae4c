"""What tests of parity share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for weights, which is gone at once: pytest keeps its own for longer than disks have room."""
    yield tmp_path
    shutil.rmtree(tmp_path)
