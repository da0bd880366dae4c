"""What a model gives is held to the rows and the width that the runner reads it by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.runner.counting import VOCAB, Counting
from tests.runner.test_generate import ask, run
from triptych.errors import CapabilityError
from triptych.inputs.prompt import Prompt
from triptych.parts.step import Step
from triptych.runner.generate import generate
from triptych.runner.pool import pool
from triptych.runner.rows import check_logits, check_rows


class Wrong(Counting):
    """Counts up to its head, which gives whatever `logits` says of the right ones."""

    def __init__(self, logits: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._logits = logits

    def compute_logits(self, hidden: Tensor) -> Tensor:
        return self._logits(super().compute_logits(hidden))


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (lambda x: x[:, :-1], r"gives rows of 96, and its vocab_size is 97; bring them through the whole head, or set"),
        (lambda x: torch.cat([x, x[:, :3]], 1), r"gives rows of 100, and its vocab_size is 97; cut them, or set"),
        (lambda x: x[:1], r"gives a tensor \[1, 97\]; a tensor \[2, \.\.\.\] is wanted$"),
    ],
)
def test_logits_of_another_width_than_the_vocabulary_are_refused_before_a_token_is_drawn(
    logits: Any, message: str
) -> None:
    with pytest.raises(CapabilityError, match=f"^compute_logits of Wrong {message}"):
        next(generate(Wrong(logits), ask([[1, 2], [3]], max_tokens=2), run=run()))


def test_they_are_refused_too_where_only_a_later_step_gives_them() -> None:
    steps = iter([VOCAB, VOCAB, 5])
    model = Wrong(lambda logits: logits[:, : next(steps)])
    events = generate(model, ask([[1, 2]], max_tokens=4), run=run())
    assert len([next(events), next(events)]) == 2
    with pytest.raises(CapabilityError, match="gives rows of 5"):
        next(events)


class Pools:
    """Its hidden rows are its ids, and its pooler gives whatever `pooled` does of them."""

    context, vocab_size = None, VOCAB

    def __init__(self, pooled: Callable[[Tensor, Step], Tensor]) -> None:
        self.pooler: Any = pooled

    def __call__(self, ids: Tensor, *_: Any, **__: Any) -> Tensor:
        return ids[:, None].float()


def test_a_pooler_gives_a_row_for_each_prompt() -> None:
    prompts: Any = [Prompt((1, 2)), Prompt((3,))]
    model: Any = Pools(lambda rows, step: torch.stack([part.sum(0) for part in rows.split([*step.lengths])]))
    assert pool(model, prompts, run=run()).tolist() == [[3], [3]]
    with pytest.raises(CapabilityError, match=r"^forward of function gives a tensor \[3, 1\]; a tensor \[2, \.\.\.\]"):
        pool(Pools(lambda rows, _: rows), prompts, run=run())  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 4), max_size=4), st.integers(0, 4), st.integers(1, 4))
def test_a_tensor_of_these_rows_and_this_width_and_no_other_goes_through(
    shape: list[int], count: int, width: int
) -> None:
    found = torch.zeros(shape)
    if shape[:1] == [count] and len(shape) == 2:
        assert check_rows(object(), found, count, by="forward") is found
    else:
        with pytest.raises(
            CapabilityError, match=rf"^forward of object gives a tensor .*; a tensor \[{count}, \.\.\.\]"
        ):
            check_rows(object(), found, count, by="forward")
    if shape == [count, width]:
        assert check_logits(object(), found, count, vocab_size=width) is found
    else:
        with pytest.raises(CapabilityError, match=r"^compute_logits of object gives "):
            check_logits(object(), found, count, vocab_size=width)
