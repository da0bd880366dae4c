"""The engine through its public door: submit, stream, cancel, sizes, and what goes wrong with one request alone."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import triptych
from triptych.errors import InputError, OptionError, TriptychError

TEXTS = ["one", "one, two, three", "x" * 70, "the quick brown fox jumps over the lazy dog", "one, two"]
DRAWN = {"max_tokens": 12, "temperature": 1.0, "seed": 3}


@pytest.fixture(scope="module")
def model() -> triptych.Model:
    return triptych.random_init("llama", seed=1)


@pytest.fixture(scope="module")
def wanted(model: triptych.Model) -> list[triptych.Completion]:
    return [model.generate(text, **DRAWN)[0] for text in TEXTS]


def test_requests_are_answered_as_generate_answers_them(
    model: triptych.Model, wanted: list[triptych.Completion]
) -> None:
    engine = triptych.Engine(model, max_num_seqs=2)
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


def test_threads_may_wait_for_answers_at_once(model: triptych.Model, wanted: list[triptych.Completion]) -> None:
    engine = triptych.Engine(model, max_num_seqs=3)
    found: dict[int, triptych.Completion] = {}

    def ask(number: int) -> None:
        found[number] = engine.submit(TEXTS[number % 5], **DRAWN).result()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(10)] == wanted * 2


def test_what_is_cancelled_ends_and_changes_nobody(model: triptych.Model, wanted: list[triptych.Completion]) -> None:
    engine = triptych.Engine(model, max_num_seqs=2)
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
def test_a_small_cache_answers_all_the_same(
    model: triptych.Model, wanted: list[triptych.Completion], rows: int
) -> None:
    engine = triptych.Engine(model, kv_cache_memory=rows * 512, max_model_len=100)
    answers = [engine.submit(text, **DRAWN) for text in TEXTS * 3]
    assert [answer.result() for answer in answers] == wanted * 3


def test_a_model_that_fails_ends_every_request_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    model = triptych.random_init("llama", seed=1)
    engine = triptych.Engine(model)
    first, second = engine.submit("one"), engine.submit("two")

    def fails(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(model.module, "compute_logits", fails)
    with pytest.raises(MemoryError):
        first.result()
    with pytest.raises(TriptychError, match="the engine ended with an error, and answers nothing more; make a new one"):
        second.result()
    with pytest.raises(TriptychError, match="make a new one"):
        engine.submit("three")


def test_a_thousand_requests_come_and_go_and_nothing_is_left(model: triptych.Model) -> None:
    chance = random.Random(0)
    engine = triptych.Engine(model, kv_cache_memory=600 * 512, max_model_len=120, max_num_seqs=16)
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
    runner = engine._runner
    assert not runner.busy
    assert runner._pool.available == runner._pool.pages
    assert not runner._sampler._options
    assert not engine._answers


@given(order=st.permutations(range(5)), seqs=st.integers(1, 5))
@settings(max_examples=10, deadline=None)
def test_the_order_in_which_answers_are_asked_for_changes_none(
    model: triptych.Model, wanted: list[triptych.Completion], order: list[int], seqs: int
) -> None:
    engine = triptych.Engine(model, max_num_seqs=seqs)
    answers = [engine.submit(text, **DRAWN) for text in TEXTS]
    assert {number: answers[number].result() for number in order} == dict(enumerate(wanted))
