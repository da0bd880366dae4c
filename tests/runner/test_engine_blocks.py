"""Rows that see each other both ways: read in one step however a prompt is cut, and found again by all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runner.test_engine import FEW, OPTIONS, PREFIX, engine, finish, layout, module, note_stopped, tokens
from triptych.errors import InputError
from triptych.inputs.prompt import Prompt
from triptych.runner.checks import check_whole_items
from triptych.runner.engine import Engine
from triptych.runner.reading import step_of
from triptych.runner.request import Request
from triptych.runner.sampling import Sampler

SPEC = "gemma3"  # a window of 16 rows in two layers of three
LONG = PREFIX + [9] * 30
# in the middle, over window and page, beside one another; a whole prompt, and one that begins with it
PROMPTS = [
    Prompt(tuple(PREFIX), blocks=(range(2, 9), range(20, 41))),
    Prompt(tuple(LONG), blocks=(range(20, 41), range(41, 47), range(60, 75))),
    Prompt(tuple(LONG)),
    Prompt(tuple(PREFIX[:32]), blocks=(range(32),)),
    Prompt(tuple(PREFIX[:40]), blocks=(range(40),)),
    Prompt(tuple(PREFIX[:32] + [1] * 8), blocks=(range(40),)),
    Prompt(tuple(PREFIX[:40]), blocks=(range(32),)),
]
MOST = 40


def answered(running: Engine, prompts: Sequence[Prompt]) -> list[list[int]]:
    numbers = [running.add(Request(prompt, OPTIONS)) for prompt in prompts]
    found = tokens(finish(running))
    return [found[number] for number in numbers]


@cache
def alone() -> list[list[int]]:
    return [answered(engine(SPEC), [prompt])[0] for prompt in PROMPTS]


def test_drawn_answers_are_those_of_one_pass_over_all() -> None:
    made, (prompt, wanted) = module(SPEC), (PROMPTS[1], alone()[1])
    sampler = Sampler(1, vocab_size=made.vocab_size, device=torch.device("cpu"))
    sampler.add(0, OPTIONS, prompt.token_ids)
    for token in wanted:
        step = step_of([prompt], device=torch.device("cpu"))
        with torch.inference_mode():
            hidden = made(torch.tensor(prompt.token_ids), step.positions, step=step)
            drawn = sampler.draw(made.compute_logits(hidden[-1:]), [0])
        assert drawn.token_ids.tolist() == [token]
        prompt = Prompt((*prompt.token_ids, token), blocks=prompt.blocks)


def test_blocks_are_told_apart() -> None:
    assert len({tuple(each) for each in alone()}) == len(PROMPTS)


@pytest.mark.parametrize(("size", "overlap"), [(MOST, True), (8192, False)])
@pytest.mark.parametrize("shape", [{}, {"page": 16, "more": 64}, FEW], ids=str)
def test_however_prompts_are_cut_blocks_are_whole(size: int, shape: dict[str, int], overlap: bool) -> None:
    wanted, running = alone(), engine(SPEC, tokens=size, overlap=overlap, **shape)
    stopped = note_stopped(running)
    assert answered(running, PROMPTS) == wanted
    assert bool(stopped) == (shape == FEW)
    assert [answered(running, [prompt])[0] for prompt in PROMPTS] == wanted  # from rows that are there


@given(order=st.permutations(range(len(PROMPTS))), size=st.integers(MOST, 60))
@settings(max_examples=3, deadline=None)
def test_who_came_before_changes_nothing(order: list[int], size: int) -> None:
    wanted, running = alone(), engine(SPEC, tokens=size, seqs=3, **FEW)
    found = answered(running, [PROMPTS[n] for n in order])
    assert found == [wanted[n] for n in order]


def test_rows_of_a_block_are_found_by_who_has_all_of_it() -> None:
    running = engine(SPEC, page=16, more=64)
    first, second = (Prompt(tuple(LONG[:n]), blocks=(range(20, 41),)) for n in (60, 70))
    answered(running, [first])
    read: list[int] = []
    step_in = running._cache.step_in

    def counted(lengths: Sequence[int], **options: Any) -> Any:
        read.extend(length for length in lengths if length > 1)
        assert not any(chain(*options["blocks"]))
        return step_in(lengths, **options)

    running._cache.step_in = counted  # type: ignore[method-assign]
    answered(running, [second])
    assert read == [70 - 48]


def test_a_block_that_no_step_has_room_for_is_told() -> None:
    told = r"prompts\[1\]: has 32 tokens, which are read in one step, and a step has 31; max_num_batched_tokens=32"
    with pytest.raises(InputError, match=told):
        check_whole_items(module(SPEC), PROMPTS[2:4], tokens=31, layout=layout(SPEC, seqs=1))
