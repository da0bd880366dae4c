"""Bounds of Mamba-2's time steps. The reference forgets them when it goes on token by token, so it begins anew here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.parity.cases import cases_of
from tests.parity.oracle import MATTERS, rms_ratio
from tests.parity.text import Pair, in_ones, in_thirds, stepwise

BOTH = {"time_step_limit": [0.5, 0.9]}
LEAST = {"time_step_min": 0.7}  # whatever the most is said to be


@pytest.fixture(
    params=[
        *(("mamba2", BOTH), ("bamba", BOTH), ("falcon_h1", BOTH), ("granitemoehybrid", BOTH)),
        *(("nemotron_h", LEAST | BOTH | {"time_step_max": 0.8}), ("zamba2", LEAST | BOTH | {"time_step_max": 0.8})),
    ],
    ids=lambda given: given[0],
)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    spec, change = request.param
    case = next(cases_of(spec))
    return Pair.of(replace(case, name="bounds of steps", config={**case.config, **change}), tmp_path)


def test_steps_are_kept_within_bounds_as_the_reference_does(pair: Pair) -> None:
    for ids in pair.prompts:
        assert rms_ratio(pair.model.logits(ids), pair.oracle.logits(ids)) <= pair.tolerance, len(ids)
    free = {"time_step_limit": [0.0, float("inf")], "time_step_min": 1.0e-9}
    without = pair.oracle.rewritten({**pair.oracle.config, **free})
    assert rms_ratio(without.logits(pair.prompts[0]), pair.oracle.logits(pair.prompts[0])) > MATTERS


def test_a_state_goes_on_within_the_same_bounds(pair: Pair) -> None:
    prompts = [ids for ids in pair.prompts if len(ids) > 1]
    for cut in (in_ones, in_thirds):
        for found, ids in zip(stepwise(pair.model.module, [cut(ids) for ids in prompts]), prompts, strict=True):
            assert rms_ratio(found, pair.model.logits(ids)) <= pair.tolerance, (cut.__name__, len(ids))
