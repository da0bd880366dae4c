"""Whole steps on kernels, recorded and replayed in Triton's interpreter, beside steps that are computed one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import triptych
from tests.runner.recorder import Recorder
from triptych.runner import graphs

pytestmark = pytest.mark.interpret
PROMPTS = [[1, 2, 3, 4, 5], [7, 8], [9]]


def written(spec: str, kernels: str) -> list[Sequence[int]]:
    """Of three requests, which end one after the other."""
    engine = triptych.Engine(triptych.random_init(spec, seed=1, kernels=kernels), max_num_seqs=3, max_model_len=12)
    given = [engine.submit(ids, max_tokens=n + 2, ignore_eos=True) for n, ids in enumerate(PROMPTS)]
    return [each.result().token_ids for each in given]


@pytest.mark.parametrize("spec", ["gemma2", "mixtral"])  # rows in windows and all, a softcap; experts
def test_answers_are_those_of_steps_one_by_one(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, recorder = written(spec, "reference"), Recorder()
    monkeypatch.setattr(graphs, "OFTEN", 0)
    monkeypatch.setattr(graphs, "CAPTURES", {"cpu": lambda: recorder})
    assert written(spec, "triton") == wanted
    assert recorder.replayed == 3
