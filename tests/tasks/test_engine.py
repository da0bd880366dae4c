"""The engine through its public door: submit, stream, cancel, sizes, and what goes wrong with one request alone."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import triptych
from triptych.errors import ArgumentError, InputError, OptionError, TriptychError

TEXTS = ["one", "one, two, three", "x" * 70, "the quick brown fox jumps over the lazy dog", "one, two"]
OVERLAP = pytest.mark.parametrize("overlap", [False, True], ids=["in turn", "overlapping"])
DRAWN = {"max_tokens": 12, "temperature": 1.0, "seed": 3}


@pytest.fixture(scope="module")
def model() -> triptych.Model:
    return triptych.random_init("llama", seed=1)


@pytest.fixture(scope="module")
def wanted(model: triptych.Model) -> list[triptych.Completion]:
    return [model.generate(text, **DRAWN)[0] for text in TEXTS]


@OVERLAP
def test_requests_are_answered_as_generate_answers_them(
    model: triptych.Model, wanted: list[triptych.Completion], overlap: bool
) -> None:
    engine = triptych.Engine(model, max_num_seqs=2, overlap=overlap)
    answers = [engine.submit(text, **DRAWN) for text in TEXTS]
    assert [answer.result() for answer in answers] == wanted
    assert [answer.result() for answer in answers] == wanted


def test_a_stream_is_the_text_and_others_go_on_beside_it(
    model: triptych.Model, wanted: list[triptych.Completion]
) -> None:
    engine = triptych.Engine(model)
    first, *others = [engine.submit(text, **DRAWN) for text in TEXTS]
    assert "".join(first) == wanted[0].text
    assert any(answer.done for answer in others)
    engine.run()
    assert [answer.done for answer in others] == [True] * 4
    assert ["".join(answer) for answer in others] == [completion.text for completion in wanted[1:]]


def test_streams_run_beside_each_other_without_waiting(
    model: triptych.Model, wanted: list[triptych.Completion]
) -> None:
    engine = triptych.Engine(model)

    async def read(text: str) -> str:
        return "".join([piece async for piece in engine.submit(text, **DRAWN)])

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*map(read, TEXTS))

    assert asyncio.run(all_of_them()) == [completion.text for completion in wanted]


@OVERLAP
def test_threads_may_wait_for_answers_at_once(
    model: triptych.Model, wanted: list[triptych.Completion], overlap: bool
) -> None:
    engine = triptych.Engine(model, max_num_seqs=3, overlap=overlap)
    found: dict[int, triptych.Completion] = {}

    def ask(number: int) -> None:
        found[number] = engine.submit(TEXTS[number % 5], **DRAWN).result()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(10)] == wanted * 2


@OVERLAP
def test_what_is_cancelled_ends_and_changes_nobody(
    model: triptych.Model, wanted: list[triptych.Completion], overlap: bool
) -> None:
    engine = triptych.Engine(model, max_num_seqs=2, overlap=overlap)
    answers = [engine.submit(text, **DRAWN) for text in TEXTS]
    read = iter(answers[0])
    next(read)
    answers[0].cancel()
    answers[3].cancel()
    assert [*read] == []
    with pytest.raises(TriptychError, match="the request was cancelled"):
        answers[3].result()
    assert [answers[n].result() for n in (1, 2, 4)] == [wanted[n] for n in (1, 2, 4)]
    answers[1].cancel()
    assert answers[1].result() == wanted[1]


def test_a_mistake_in_one_request_is_told_and_the_others_run(
    model: triptych.Model, wanted: list[triptych.Completion]
) -> None:
    engine = triptych.Engine(model, max_model_len=80)
    first = engine.submit(TEXTS[0], **DRAWN)
    with pytest.raises(InputError, match="has 81 tokens, and a request may have 80; shorten it"):
        engine.submit("x" * 81)
    with pytest.raises(InputError, match="takes none; leave the images out"):
        engine.submit("x", "picture.png")
    with pytest.raises(OptionError, match="min_p"):
        engine.submit("x", min_p=2.0)
    with pytest.raises(InputError, match="submit takes one prompt"):
        engine.submit(["a", "b"])  # type: ignore[arg-type]
    assert first.result() == wanted[0]
    assert len(engine.submit("x" * 78, max_tokens=100, ignore_eos=True).result().token_ids) == 3


def test_sizes_that_do_not_do_are_told_with_what_would(model: triptych.Model) -> None:
    with pytest.raises(OptionError, match=r"max_model_len: is 513, and the model takes at most 512"):
        triptych.Engine(model, max_model_len=513)
    with pytest.raises(OptionError, match=r"max_num_seqs: is 0; a whole number from 1 on is needed"):
        triptych.Engine(model, max_num_seqs=0)
    with pytest.raises(ArgumentError, match=r"^overlap: True or False or None is wanted, not 'yes'$"):
        triptych.Engine(model, overlap="yes")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"max_model_len: is 0; a whole number from 1 on is needed"):
        triptych.Engine(model, max_model_len=0)
    row = 2 * 2 * 2 * 16 * 4  # layers, keys and values, heads, width, bytes
    with pytest.raises(OptionError) as raised:
        triptych.Engine(model, kv_cache_memory=100 * row)
    assert str(raised.value) == (
        "kv_cache_memory: a request of 512 tokens needs 0.2 MiB of cache, and 0.0 MiB may be taken; "
        "max_model_len=100 would fit"
    )
    triptych.Engine(model, kv_cache_memory=100 * row, max_model_len=100)


@pytest.mark.parametrize("rows", [100, 300, 10_000])
@OVERLAP
def test_a_small_cache_answers_all_the_same(
    model: triptych.Model, wanted: list[triptych.Completion], rows: int, overlap: bool
) -> None:
    engine = triptych.Engine(model, kv_cache_memory=rows * 512, max_model_len=100, overlap=overlap)
    answers = [engine.submit(text, **DRAWN) for text in TEXTS * 3]
    assert [answer.result() for answer in answers] == wanted * 3


def test_what_fails_is_raised_by_the_answers_that_it_concerns_and_the_engine_goes_on(
    wanted: list[triptych.Completion], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = triptych.random_init("llama", seed=1)
    engine = triptych.Engine(model, max_num_seqs=2)
    first, second, third = (engine.submit(text, **DRAWN) for text in TEXTS[:3])
    planted = [RuntimeError("boom")]
    logits = model.module.compute_logits

    def fails_once(hidden: Tensor) -> Tensor:
        if planted:
            raise planted.pop()
        found: Tensor = logits(hidden)
        return found

    monkeypatch.setattr(model.module, "compute_logits", fails_once)
    told = "^the request cannot be answered: RuntimeError: boom$"
    with pytest.raises(TriptychError, match=told) as raised:
        first.result()
    assert first.done
    with pytest.raises(TriptychError, match=told) as again:
        first.result()
    assert raised.value is not again.value
    with pytest.raises(TriptychError, match=told):
        "".join(second)

    async def read(answer: triptych.Answering) -> str:
        return "".join([piece async for piece in answer])

    with pytest.raises(TriptychError, match=told):
        asyncio.run(read(second))
    assert third.result() == wanted[2]
    assert engine.submit(TEXTS[0], **DRAWN).result() == wanted[0]


class Alone:
    """A pipeline of one stage."""

    stage = triptych.Stage(0, 1)

    def share(self, tensor: Tensor, **_: object) -> Tensor:
        return tensor

    def telling(self) -> AbstractContextManager[None]:
        return nullcontext()

    def least(self, number: int) -> int:
        return number


def in_one_stage(model: triptych.Model) -> triptych.Model:
    pipe: Any = Alone()
    return triptych.Model(model.module, model.config, tokenizer=model.tokenizer, pipe=pipe)


def test_where_the_next_step_needs_the_token_none_begins_before_it_is_known(
    model: triptych.Model, wanted: list[triptych.Completion]
) -> None:
    asked = {**DRAWN, "regex": "[ab][cd][ef][gh][ij][kl]"}
    (formed,) = model.generate(TEXTS[1], **asked)
    engine = triptych.Engine(model, overlap=True)
    answers = [engine.submit(TEXTS[0], **DRAWN), engine.submit(TEXTS[1], **asked)]
    assert [answer.result() for answer in answers] == [wanted[0], formed]
    staged = triptych.Engine(in_one_stage(model), overlap=True)
    answer = staged.submit(TEXTS[0], **DRAWN)
    staged.step()
    assert len(staged._runner._entries[0].log.events) == 1
    assert answer.result() == wanted[0]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_a_failure_in_one_process_of_a_pipeline_ends_the_engine(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = triptych.random_init("llama", seed=1)
    engine = triptych.Engine(in_one_stage(whole))
    answer, other = engine.submit("one", **DRAWN), engine.submit("two", **DRAWN)
    engine.step()
    monkeypatch.setattr(whole.module, "forward", raising(error))
    with pytest.raises(type(error)):
        answer.result()
    monkeypatch.undo()
    for late in (answer.result, other.result, lambda: engine.submit("three")):
        with pytest.raises(TriptychError, match="the engine ended with an error, and answers nothing more; make a new"):
            late()


def raising(error: BaseException) -> Callable[..., None]:
    def fails(*_: object, **__: object) -> None:
        raise error

    return fails


def test_a_thousand_requests_come_and_go_and_nothing_is_left(model: triptych.Model) -> None:
    chance = random.Random(0)
    engine = triptych.Engine(model, kv_cache_memory=600 * 512, max_model_len=120, max_num_seqs=16, overlap=True)
    wanted = {text: model.generate(text, max_tokens=9, ignore_eos=True)[0] for text in TEXTS}
    waiting: list[tuple[str, triptych.Answering]] = []
    for _ in range(1000):
        text = chance.choice(TEXTS)
        waiting.append((text, engine.submit(text, max_tokens=9, ignore_eos=True)))
        if chance.random() < 0.3:
            waiting.pop(chance.randrange(len(waiting)))[1].cancel()
        if chance.random() < 0.5:
            engine.step()
    assert all(answer.result() == wanted[text] for text, answer in waiting)
    engine.run()
    runner = engine._runner
    assert not runner.busy
    assert runner._state.pool.available == runner._state.pool.pages
    assert not runner._state.sampler._options
    assert not engine._news


@given(order=st.permutations(range(5)), seqs=st.integers(1, 5), overlap=st.booleans())
@settings(max_examples=10, deadline=None)
def test_the_order_in_which_answers_are_asked_for_changes_none(
    model: triptych.Model, wanted: list[triptych.Completion], order: list[int], seqs: int, overlap: bool
) -> None:
    engine = triptych.Engine(model, max_num_seqs=seqs, overlap=overlap)
    answers = [engine.submit(text, **DRAWN) for text in TEXTS]
    assert {number: answers[number].result() for number in order} == dict(enumerate(wanted))
