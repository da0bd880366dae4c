"""YAML in, messages out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from triptych.spec.validate import validate

Validated = Callable[..., list[str]]


@pytest.fixture
def validated(tmp_path: Path) -> Validated:
    """Problems of a spec, written as `my.yaml` beside others (name=text); messages without the folder's name."""

    def check(text: str, **beside: str) -> list[str]:
        for name, other in {**beside, "my": text}.items():
            (tmp_path / f"{name}.yaml").write_text(other, encoding="utf-8")
        return [str(problem).replace(f"{tmp_path}/", "") for problem in validate(tmp_path / "my.yaml")]

    return check
