"""Nothing that is registered goes untried."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.parity import cases
from tests.parity.oracle import has_reference
from triptych.spec.catalog import catalog

FAMILIES = {
    listed.name
    for listed in catalog().values()
    if listed.kind == "language_model" and any(has_reference(a) for a in listed.architectures)
}

ALIASES = {file.stem for file in cases.CASES.glob("*.yaml") if "alias" in yaml.safe_load(file.read_text("utf-8"))}


def test_every_text_model_is_tried() -> None:
    assert {case.spec for case in cases.all_cases()} == FAMILIES | ALIASES


def test_a_spec_without_a_file_of_cases_is_tried_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cases, "CASES", tmp_path)
    assert {case.spec for case in cases.all_cases() if case.name in ("plain", "sample")} == FAMILIES


def test_every_file_of_cases_is_of_a_registered_spec() -> None:
    assert {file.stem for file in cases.CASES.glob("*.yaml")} <= FAMILIES | set(catalog())
