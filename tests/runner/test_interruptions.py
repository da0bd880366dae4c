"""Ctrl-C at any moment of any step: what ran begins again, every answer is the one that it would have been."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import triptych
from triptych.inputs.prompt import Prompt
from triptych.inputs.tokenizer import ByteTokenizer
from triptych.parts.cache_layout import Layout
from triptych.runner.engine import Engine
from triptych.runner.event import Log
from triptych.runner.options import SamplingOptions
from triptych.runner.request import Request, RunOptions
from triptych.runner.sizes import Sizes

ROOT = Path(triptych.__file__).parent
PROMPTS = [[7 * n % 250 for n in range(40)], [5], [9] * 30, [1, 2, 3] * 9, [7 * n % 250 for n in range(20)]]
OPTIONS = [
    SamplingOptions(max_tokens=7, temperature=1.0, seed=5, ignore_eos=True),
    SamplingOptions(max_tokens=9, temperature=0.8, seed=6, repetition_penalty=1.3, ignore_eos=True, logprobs=1),
    SamplingOptions(max_tokens=5, prompt_logprobs=1, ignore_eos=True),
    SamplingOptions(max_tokens=8, temperature=1.0, seed=1, stop=("q",), ignore_eos=True),
    SamplingOptions(max_tokens=6, min_tokens=6, ignore_eos=True),
]
STEPS = range(1, 25_000)  # opcodes of our own code, of which a step of these has some thousands


@cache
def module() -> Any:
    return triptych.random_init("llama", seed=1).module.double()


def made(*, pages: int, page: int, tokens: int, overlap: bool = False) -> Engine:
    device = torch.device("cpu")
    run = RunOptions(device=device, dtype=torch.float64, max_num_batched_tokens=tokens, overlap=overlap)
    layout = Layout.whole(module().cache_needs(), pages=pages, page=page, slots=3)
    sizes = Sizes(layout, seqs=3, longest=64)
    return Engine(module(), sizes=sizes, run=run, tokenizer=ByteTokenizer(256), live=True)


def answers(logs: list[Log]) -> list[Any]:
    """Tokens, texts, logprobs and ends, without the last digits of what is computed in another order."""
    return [[(e.token_id, e.text, e.finish_reason, rounded(e)) for e in log.events] for log in logs]


def rounded(event: Any) -> Any:
    listed = [event.logprob, *(event.prompt_logprobs or ())]
    return [each and (each.token_id, round(each.logprob, 9)) for each in listed]


def finish(running: Engine) -> None:
    """Within as many steps as are enough."""
    for _ in range(300):
        if not running.busy:
            return
        running.step()
    raise AssertionError("it does not come to an end")


@cache
def undisturbed() -> Any:
    running = made(pages=3, page=64, tokens=8192)
    entries = [running.entry(Request(Prompt(tuple(ids)), each)) for ids, each in zip(PROMPTS, OPTIONS, strict=True)]
    for entry in entries:
        running.admit(entry)
    finish(running)
    return answers([entry.log for entry in entries])


@contextmanager
def interrupted(after: int) -> Iterator[None]:
    """KeyboardInterrupt in our own code, or a call into it, after so many opcodes of it, if there are as many."""
    left = after

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if not left:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)


OURS = tuple(str(ROOT / name) for name in ("runner", "parts", "inputs"))


@given(
    interrupts=st.lists(st.sampled_from(STEPS), min_size=1, max_size=6),
    size=st.sampled_from([(3, 64), (6, 16)]),
    tokens=st.sampled_from([7, 8192]),
    overlap=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_an_interruption_changes_no_answer_and_nothing_is_lost(
    interrupts: list[int], size: tuple[int, int], tokens: int, overlap: bool
) -> None:
    running = made(pages=size[0], page=size[1], tokens=tokens, overlap=overlap)
    entries = [running.entry(Request(Prompt(tuple(ids)), each)) for ids, each in zip(PROMPTS, OPTIONS, strict=True)]
    for entry in entries:
        with interrupted(interrupts[0] // 100):
            running.admit(entry)
        running.admit(entry)
    for after in interrupts:
        with interrupted(after):
            finish(running)
    finish(running)
    assert answers([entry.log for entry in entries]) == undisturbed()
    assert running._state.pool.available == running._sizes.layout.pages
    assert not running._state.sampler._options
    assert sorted(running._state.scheduler._slots) == [0, 1, 2]


@given(after=st.sampled_from(range(1, 600)), overlap=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_request_whose_cancelling_is_interrupted_is_gone(after: int, overlap: bool) -> None:
    running = made(pages=3, page=64, tokens=8192, overlap=overlap)
    kept, other = (running.entry(Request(Prompt(tuple(PROMPTS[n])), OPTIONS[n])) for n in (0, 1))
    for entry in (kept, other):
        running.admit(entry)
    running.step()
    other.log.cancelled = True
    with interrupted(after):
        running.cancel(other.number)
    finish(running)
    assert answers([kept.log]) == undisturbed()[:1]
    assert running._state.pool.available == running._sizes.layout.pages


@pytest.mark.parametrize("wrong", ["forward", "compute_logits"])
@pytest.mark.parametrize("overlap", [False, True])
def test_one_in_the_model_is_raised_and_the_next_step_goes_on(
    wrong: str, overlap: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = made(pages=3, page=64, tokens=8192, overlap=overlap)
    entries = [running.entry(Request(Prompt(tuple(ids)), each)) for ids, each in zip(PROMPTS, OPTIONS, strict=True)]
    for entry in entries:
        running.admit(entry)

    def interrupts(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        running.step()
        monkeypatch.setattr(module(), wrong, interrupts)
        with pytest.raises(KeyboardInterrupt):
            running.step()
        monkeypatch.undo()
    finish(running)
    assert answers([entry.log for entry in entries]) == undisturbed()
