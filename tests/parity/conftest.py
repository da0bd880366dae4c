"""What tests of parity share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.parity.text")  # which no file of tests is by its name


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for weights, which is gone at once: pytest keeps its own for longer than disks have room."""
    yield tmp_path
    shutil.rmtree(tmp_path)
