"""A command run in this process."""

from __future__ import annotations

import pytest

from triptych.cli import main

Capture = pytest.CaptureFixture[str]


def ran(capsys: Capture, *words: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of a command; no traceback is in either."""
    try:
        status = main(words)
    except SystemExit as stop:
        status = int(str(stop.code))
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    return status, captured.out, captured.err
