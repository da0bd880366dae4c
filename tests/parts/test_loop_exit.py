"""Rows that leave a stack before its last loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from triptych.contrib_models.ouro import LoopExit
from triptych.contrib_models.ouro_spec import LoopExitSpec
from triptych.parts.step import Step

CHANCES = [[0.5, 0.75, 0.1], [0.9, 0.0, 1.0], [0.2, 0.4, 0.0]]  # of the three rows, after each loop but the last


def left(**said: Any) -> list[int]:
    """After which of four loops each of three rows leaves."""
    part = LoopExit(LoopExitSpec(loops=4, **said), width=2, key="it")
    values = {"gate.weight": torch.tensor([[1.0, 0.0]]), "gate.bias": torch.zeros(1)}
    part.load_state_dict(values, assign=True)
    step, rows = Step.of([3]), [_rows(chances, loop) for loop, chances in enumerate([*CHANCES, [1.0] * 3])]
    for step.loop, given in enumerate(rows):
        found = part(given, step)
        assert step.loop == 3 or torch.equal(found, given), "what goes into the next loop is as it was"
    return [int(number) for number in found[:, 1]]


def _rows(chances: list[float], loop: int) -> Tensor:
    """Rows that leave with those chances, and say which loop they are of."""
    return torch.stack((torch.tensor(chances).logit(), torch.full((3,), float(loop))), 1)


@pytest.mark.parametrize(
    ("said", "loops"),
    [
        ({}, [3, 3, 3]),
        ({"threshold": 0.5}, [0, 0, 1]),
        ({"threshold": 0.8}, [1, 2, 1]),
        ({"threshold": 0.9}, [1, 3, 1]),
        ({"threshold": 0.955}, [2, 3, 1]),
        ({"threshold": 1.0}, [3, 3, 1]),  # of what never stays nothing goes on
        ({"threshold": 1.5}, [3, 3, 3]),
        ({"threshold": 0.0}, [0, 0, 0]),
        ({"threshold": 0.5, "step": 1}, [1, 1, 1]),
        ({"threshold": 0.5, "step": 3}, [3, 3, 3]),
        ({"threshold": 0.5, "step": 4}, [0, 0, 1]),
    ],
    ids=str,
)
def test_a_row_is_that_of_the_loop_that_it_left_after(said: dict[str, Any], loops: list[int]) -> None:
    assert left(**said) == loops
