"""The comparison can fail: a spec with one line wrong parts from its reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

import triptych
from tests.parity.aliases import aliased
from tests.parity.cases import all_cases
from tests.parity.oracle import MATTERS, build_oracle, rms_ratio

PLANTED = yaml.safe_load((Path(__file__).resolve().parent / "planted.yaml").read_text("utf-8"))
CASES = {(case.spec, case.name): case for case in all_cases()}


@pytest.mark.parametrize(("spec", "name", "mistake"), PLANTED)
def test_a_mistake_of_one_line_shows_in_the_logits(spec: str, name: str, mistake: str, tmp_path: Path) -> None:
    case = CASES[spec, name]
    oracle = build_oracle(case.config, tmp_path, seed=case.seed, attention=case.attention)
    oracle = aliased(oracle, case.alias) if case.alias else oracle
    ids = oracle.random_ids(57, seed=1)
    # Many of these are refused before any number is made, since they leave a key of the config unread: let them pass.
    model = triptych.load(tmp_path, dtype=torch.float32, overrides=["inert=['*']", mistake])
    assert rms_ratio(model.logits(ids), oracle.logits(ids)) > MATTERS
