"""Two steps in flight: nothing waits for a token that need not, none is one too many, and no row is met by others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.runner.counting import Counting, expected
from triptych.inputs.prompt import Prompt
from triptych.parts.cache_layout import Layout
from triptych.runner.engine import Engine
from triptych.runner.entry import UNKNOWN, Entry
from triptych.runner.event import Event, Failure
from triptych.runner.options import SamplingOptions
from triptych.runner.request import Request, RunOptions
from triptych.runner.sizes import Sizes

CPU = torch.device("cpu")
PROMPTS = [[1, 2, 3], [5], [7] * 20, [2, 1] * 9]


def engine(model: Counting, *, overlap: bool = True, seqs: int = 4, pages: int = 4, page: int = 64) -> Engine:
    run = RunOptions(device=CPU, dtype=torch.float32, overlap=overlap)
    sizes = Sizes(Layout.whole(model.cache_needs(), pages=pages, page=page, slots=seqs), seqs=seqs, longest=64)
    return Engine(model, sizes=sizes, run=run)


def admitted(running: Engine, ids: Sequence[int], **options: Any) -> Entry:
    entry = running.entry(Request(Prompt(tuple(ids)), SamplingOptions(**options)))
    running.admit(entry)
    return entry


def finish(running: Engine) -> None:
    while running.busy:
        running.step()


def tokens(entry: Entry) -> list[int]:
    assert entry.log.error is None
    return [event.token_id for event in entry.log.events]


def told(found: Sequence[Event | Failure]) -> list[int]:
    assert all(isinstance(each, Event) for each in found)
    return [each.token_id for each in found if isinstance(each, Event)]


def test_steps_overlap_on_an_accelerator_or_when_that_is_asked_for() -> None:
    def made(device: str, overlap: bool | None) -> bool:
        return RunOptions(device=torch.device(device), dtype=torch.float32, overlap=overlap).overlaps

    assert [made("cuda", each) for each in (None, True, False)] == [True, True, False]
    assert [made("cpu", each) for each in (None, True, False)] == [False, True, False]


def test_a_step_begins_before_the_tokens_of_the_last_one_are_known() -> None:
    model = Counting()
    running, wanted = engine(model), expected(PROMPTS[0], 4)
    entry = admitted(running, PROMPTS[0], max_tokens=4)
    assert told(running.step()) == []
    for number in range(3):
        assert entry.tokens == [*PROMPTS[0], *wanted[:number], UNKNOWN]
        assert told(running.step()) == [wanted[number]]
        assert len(model.calls) == number + 2
    assert told(running.step()) == wanted[3:]
    assert not running.busy


def test_no_step_is_wasted_where_the_last_token_is_known_by_its_number() -> None:
    calls = []
    for overlap in (False, True):
        model = Counting(context=22)
        running = engine(model, overlap=overlap)
        entries = [admitted(running, ids, max_tokens=n) for ids, n in zip(PROMPTS, (1, 5, 30, 2), strict=True)]
        finish(running)
        counts = [1, 5, 3, 2]  # the third is ended by the context
        assert list(map(tokens, entries)) == [expected(*each) for each in zip(PROMPTS, counts, strict=True)]
        calls.append(sorted(model.calls))
    assert calls[0] == calls[1]


def test_after_a_stop_one_token_too_many_is_computed_and_nobody_hears_of_it() -> None:
    model = Counting()
    running, wanted = engine(model), expected(PROMPTS[0], 9)
    stop = wanted[3]
    entry = admitted(running, PROMPTS[0], max_tokens=9, stop_token_ids=[stop], repetition_penalty=1.0001)
    finish(running)
    assert tokens(entry) == wanted[: wanted.index(stop) + 1]
    assert entry.tokens == [*PROMPTS[0], *tokens(entry)]
    assert len(model.calls) == len(tokens(entry)) + 1
    assert entry.log.events[-1].finish_reason == "stop"


def test_who_stopped_keeps_pages_and_slot_until_its_last_row_has_landed() -> None:
    running = engine(Counting(), seqs=1, pages=1)
    stop = expected(PROMPTS[0], 2)[1]
    first = admitted(running, PROMPTS[0], max_tokens=9, stop_token_ids=[stop])
    second = admitted(running, PROMPTS[1], max_tokens=3)
    while not first.log.ended:
        running.step()
    assert (first.slot, second.slot) == (0, None)
    assert running._state.pool.available == 0
    running.step()
    assert first.number not in running._entries
    finish(running)
    assert tokens(second) == expected(PROMPTS[1], 3)


def test_what_is_found_of_an_answer_that_stopped_is_what_is_found_without_overlap() -> None:
    reads = []
    prompt = [*range(13)]
    answer = expected(prompt, 9)
    for overlap in (False, True):
        model = Counting()
        running = engine(model, overlap=overlap)
        admitted(running, prompt, max_tokens=9, stop_token_ids=[answer[3]])  # in the row of which a block ends
        finish(running)
        del model.calls[:]
        later = admitted(running, [*prompt, *answer], max_tokens=1)
        finish(running)
        assert tokens(later) == expected([*prompt, *answer], 1)
        reads.append(model.calls)
    assert reads[0] == reads[1]


def test_who_is_cancelled_in_flight_hears_no_more_and_leaves_nothing() -> None:
    running = engine(Counting())
    kept, gone = (admitted(running, ids, max_tokens=9) for ids in PROMPTS[:2])
    for _ in range(3):
        running.step()
    running.cancel(gone.number)
    running.cancel(gone.number)
    finish(running)
    assert gone.log.cancelled
    assert tokens(gone) == expected(PROMPTS[1], 2)
    assert tokens(kept) == expected(PROMPTS[0], 9)
    assert running._state.pool.available == 4
    assert sorted(running._state.scheduler._slots) == [0, 1, 2, 3]


def test_who_has_ended_and_is_cancelled_has_ended() -> None:
    running = engine(Counting())
    entry = admitted(running, PROMPTS[0], max_tokens=9, stop_token_ids=expected(PROMPTS[0], 1))
    while not entry.log.is_whole:
        running.step()
    assert running.busy, "its last row is in flight"
    running.cancel(entry.number)
    finish(running)
    assert not entry.log.cancelled


def test_a_request_that_ended_by_a_step_does_not_fail_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Counting()
    running = engine(model)
    wanted = expected(PROMPTS[0], 2)
    stops = admitted(running, PROMPTS[0], max_tokens=9, stop_token_ids=wanted[1:])
    fails = admitted(running, PROMPTS[1], max_tokens=9)
    running.step()
    running.step()

    def raises(_: Tensor) -> Tensor:
        raise RuntimeError("boom")

    monkeypatch.setattr(model, "compute_logits", raises)
    found = running.step()
    assert [type(each) for each in found] == [Event, Event, Failure]
    assert tokens(stops) == wanted
    assert stops.log.events[-1].finish_reason == "stop"
    assert str(fails.log.error).endswith("fails as it runs: RuntimeError: boom")
    assert [event.token_id for event in fails.log.events] == expected(PROMPTS[1], 2)
    assert not running.busy
