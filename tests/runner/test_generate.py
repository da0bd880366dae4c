"""A list of requests: batches of different lengths, streams, ends, and what cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch

from tests.runner.counting import VOCAB, Counting, expected
from triptych.errors import InputError, OptionError
from triptych.inputs.prompt import Prompt
from triptych.inputs.tokenizer import ByteTokenizer
from triptych.runner.event import Event
from triptych.runner.generate import generate
from triptych.runner.options import SamplingOptions
from triptych.runner.request import Request, RunOptions

PROMPTS = [[5, 9, 33], [1], [2, 4, 8, 16, 32, 64], [7, 7], [90] * 11]


def run(**options: Any) -> RunOptions:
    return RunOptions(device=torch.device("cpu"), dtype=torch.float32, **options)


def ask(prompts: Sequence[Sequence[int]], **options: Any) -> list[Request]:
    return [Request(Prompt(tuple(ids)), SamplingOptions.of(**options)) for ids in prompts]


def answers(events: Sequence[Event]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for event in events:
        found.setdefault(event.request, []).append(event.token_id)
    return found


@pytest.mark.parametrize("max_batch", [1, 2, 3, 32])
def test_each_prompt_of_a_batch_is_answered_as_if_alone(max_batch: int) -> None:
    model = Counting()
    events = [*generate(model, ask(PROMPTS, max_tokens=9), run=run(max_batch=max_batch))]
    assert answers(events) == {n: expected(ids, 9) for n, ids in enumerate(PROMPTS)}
    assert max(map(len, model.calls)) == min(max_batch, len(PROMPTS))


def test_a_batch_is_read_packed_and_only_last_rows_reach_the_head() -> None:
    model = Counting()
    _ = [*generate(model, ask(PROMPTS, max_tokens=3), run=run())]
    assert model.calls == [tuple(map(len, PROMPTS)), (1,) * 5, (1,) * 5]
    assert model.heads == [5, 5, 5]


def test_requests_that_end_leave_and_the_others_go_on() -> None:
    lengths = [4, 1, 7, 2, 5]
    requests = [ask([ids], max_tokens=n)[0] for ids, n in zip(PROMPTS, lengths, strict=True)]
    model = Counting()
    events = [*generate(model, requests, run=run())]
    assert answers(events) == {n: expected(PROMPTS[n], length) for n, length in enumerate(lengths)}
    assert [len(call) for call in model.calls] == [5, 4, 3, 3, 2, 1, 1]
    assert [event.request for event in events if event.finish_reason] == [1, 3, 0, 4, 2]


@pytest.mark.parametrize(("rows", "steps"), [(12, [1] * 5), (31, [2, 2, 1]), (40, [3, 2]), (10**6, [5])])
def test_what_memory_cannot_hold_at_once_waits(rows: int, steps: list[int]) -> None:
    a_row = 2 * (1 + 1) * 4  # layers, key and value, bytes
    model = Counting()
    events = [*generate(model, ask(PROMPTS, max_tokens=2), run=run(cache_bytes=rows * a_row))]
    assert answers(events) == {n: expected(ids, 2) for n, ids in enumerate(PROMPTS)}
    assert list(map(len, model.calls[::2])) == steps


def test_a_request_that_no_memory_holds_says_what_would_fit() -> None:
    told = run(cache_bytes=50 * 16)
    with pytest.raises(InputError, match=r"prompt of 3 tokens with max_tokens=100 needs .*; max_tokens=48 would fit"):
        next(generate(Counting(), ask([PROMPTS[0]], max_tokens=100), run=told))
    assert len([*generate(Counting(), ask([PROMPTS[0]], max_tokens=48), run=told)]) == 48
    with pytest.raises(InputError, match="50 tokens would fit"):
        next(generate(Counting(), ask([[1] * 60]), run=told))


def test_a_longer_answer_than_there_is_memory_is_refused_before_it_is_taken() -> None:
    with pytest.raises(InputError, match="max_tokens=1000000000000 needs"):
        next(generate(Counting(), ask([[1]], max_tokens=10**12), run=run()))


def test_prompts_that_the_model_cannot_read_are_all_named() -> None:
    prompts = [[], [1] * 10, [5, VOCAB], [1, 2], [-1]]
    with pytest.raises(InputError) as caught:
        next(generate(Counting(context=8), ask(prompts), run=run()))
    assert str(caught.value).splitlines() == [
        "prompts[0]: is empty; at least one token is needed",
        "prompts[1]: has 10 tokens, and the model takes at most 8; shorten it",
        "prompts[2]: has the token id 97, and the model has 0 to 96",
        "prompts[4]: has the token id -1, and the model has 0 to 96",
    ]


@pytest.mark.parametrize(("length", "asked", "got"), [(5, 3, 3), (5, 4, 4), (5, 100, 4), (8, 100, 1)])
def test_an_answer_ends_where_the_context_does(length: int, asked: int, got: int) -> None:
    prompt = [3] * length
    events = [*generate(Counting(context=8), ask([prompt], max_tokens=asked), run=run())]
    assert [event.token_id for event in events] == expected(prompt, got)
    assert events[-1].finish_reason == "length"


def test_an_end_token_is_the_last() -> None:
    whole = expected(PROMPTS[0], 9)
    for count, token in enumerate(whole, 1):
        if token in whole[: count - 1]:
            continue
        events = [*generate(Counting(), ask([PROMPTS[0]], max_tokens=9), run=run(), end_ids={token})]
        assert [event.token_id for event in events] == whole[:count]
        assert events[-1].finish_reason == "stop"
        asked = ask([PROMPTS[0]], max_tokens=9, ignore_eos=True)
        assert len([*generate(Counting(), asked, run=run(), end_ids={token})]) == 9
        asked = ask([PROMPTS[0]], max_tokens=9, ignore_eos=True, stop_token_ids=[token])
        assert len([*generate(Counting(), asked, run=run())]) == count


@pytest.mark.parametrize("live", [True, False])
def test_the_pieces_of_an_answer_are_its_text(live: bool) -> None:
    tokenizer = ByteTokenizer(256)
    for ids in PROMPTS:
        events = [*generate(Counting(), ask([ids], max_tokens=20), run=run(), tokenizer=tokenizer, live=live)]
        assert "".join(event.text for event in events) == bytes(expected(ids, 20)).decode()
        assert live or not any(event.text for event in events[:-1])


@pytest.mark.parametrize("live", [True, False])
def test_a_stop_string_ends_an_answer_and_is_cut_off(live: bool) -> None:
    whole = bytes(expected(PROMPTS[0], 30)).decode()
    told = {"run": run(), "tokenizer": ByteTokenizer(256), "live": live}
    for start, length in [(0, 1), (3, 2), (7, 4), (20, 9), (29, 1)]:
        stop = whole[start : start + length]
        events = [*generate(Counting(), ask([PROMPTS[0]], max_tokens=30, stop=[stop, "never"]), **told)]
        assert "".join(event.text for event in events) == whole[: whole.index(stop)]
        assert events[-1].finish_reason == "stop"
        assert len(events) == whole.index(stop) + length


def test_the_text_before_an_end_token_is_whole() -> None:
    whole = expected(PROMPTS[0], 9)
    told = {"run": run(), "tokenizer": ByteTokenizer(256), "end_ids": {whole[5]}}
    for live in (True, False):
        events = [*generate(Counting(), ask([PROMPTS[0]], max_tokens=9, stop="never"), live=live, **told)]
        assert "".join(event.text for event in events) == bytes(whole[:5]).decode()


@pytest.mark.parametrize("least", [1, 4, 9])
def test_nothing_ends_an_answer_before_it_has_the_least_number_of_tokens(least: int) -> None:
    told = {"run": run(), "tokenizer": ByteTokenizer(256)}
    events = [*generate(Counting(flat=True), ask([[1]], max_tokens=9, min_tokens=least), end_ids={0, 2}, **told)]
    assert [event.token_id for event in events] == [1] * least + [0] * (least < 9)
    whole = bytes(expected(PROMPTS[0], 30)).decode()
    stops = ["".join(pair) for pair in pairwise(whole)]
    events = [*generate(Counting(), ask([PROMPTS[0]], max_tokens=30, min_tokens=least, stop=stops), live=True, **told)]
    assert len(events) == max(2, least)
    assert "".join(event.text for event in events) == whole[: max(2, least) - 2]


def test_a_request_draws_the_same_tokens_whatever_runs_beside_it() -> None:
    asked = [SamplingOptions(max_tokens=12, temperature=1.0, top_k=k, top_p=p, seed=s) for k, p, s in DRAWING]
    requests = [Request(Prompt(tuple(ids)), each) for ids, each in zip(PROMPTS, asked, strict=True)]
    together = answers([*generate(Counting(flat=True), requests, run=run())])
    for number, request in enumerate(requests):
        alone = answers([*generate(Counting(flat=True), [request], run=run())])
        assert together[number] == alone[0]
    assert len({tuple(tokens) for tokens in together.values()}) == len(PROMPTS)


DRAWING = [(0, 1.0, 1), (10, 1.0, 2), (0, 0.5, 3), (10, 0.9, 4), (0, 1.0, 5)]


def test_nothing_runs_without_requests() -> None:
    assert [*generate(Counting(), [], run=run())] == []


@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_a_batch_has_room_for_one(value: Any) -> None:
    with pytest.raises(OptionError, match=f"max_batch: is {value}; a whole number from 1 on is needed"):
        run(max_batch=value)
