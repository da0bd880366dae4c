"""What fails ends those whom it concerns: others get the tokens that they get without it, and nothing stays behind."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import triptych
from triptych.errors import OutOfMemoryError, TriptychError
from triptych.inputs.prompt import Prompt
from triptych.inputs.tokenizer import ByteTokenizer
from triptych.parts.cache_layout import Layout
from triptych.runner.engine import Engine
from triptych.runner.event import Log
from triptych.runner.generate import generate
from triptych.runner.options import SamplingOptions
from triptych.runner.request import Request, RunOptions
from triptych.runner.sizes import Sizes

PROMPTS = [[7 * n % 250 for n in range(40)], [5], [9] * 30, [1, 2, 3] * 9]
OPTIONS = SamplingOptions(max_tokens=12, temperature=1.0, seed=5, ignore_eos=True)
BAD = 251  # a token that stands in no prompt and no answer
FEW = {"pages": 6, "page": 16}


@pytest.fixture
def module() -> Any:
    return triptych.random_init("llama", seed=1).module.double()


@pytest.fixture(autouse=True, params=[False, True], ids=["in turn", "overlapping"])
def overlap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out of the options: no test here says whether steps overlap."""
    monkeypatch.setattr(RunOptions, "overlaps", request.param)


def engine(module: Any, *, tokens: int = 8192, seqs: int = 4, tokenizer: Any = None, **shape: int) -> Engine:
    run = RunOptions(device=torch.device("cpu"), dtype=torch.float64, max_num_batched_tokens=tokens)
    layout = Layout.whole(module.cache_needs(), **({"pages": seqs, "page": 128} | shape), slots=seqs)
    sizes = Sizes(layout, seqs=seqs, longest=128)
    return Engine(module, sizes=sizes, run=run, tokenizer=tokenizer or ByteTokenizer(256), live=True)


def logs(running: Engine, asked: Sequence[Request]) -> list[Log]:
    """What comes of requests that are there together."""
    entries = [running.entry(request) for request in asked]
    for entry in entries:
        running.admit(entry)
    while running.busy:
        running.step()
    return [entry.log for entry in entries]


def request(ids: Sequence[int], options: SamplingOptions = OPTIONS) -> Request:
    return Request(Prompt(tuple(ids)), options)


def tokens(log: Log) -> list[int]:
    assert log.error is None
    return [event.token_id for event in log.events]


def alone(module: Any, *prompts: Sequence[int]) -> list[list[int]]:
    return [tokens(logs(engine(module), [request(ids)])[0]) for ids in prompts]


def check_nothing_is_left(running: Engine) -> None:
    assert not running.busy
    assert running._state.pool.available == running._sizes.layout.pages
    assert not running._state.sampler._options
    assert len(running._state.scheduler._slots) == running._sizes.seqs


@pytest.mark.parametrize("shape", [{}, FEW], ids=["a page each", "small pages"])
@pytest.mark.parametrize("size", [5, 8192])
def test_a_request_whose_logits_are_no_numbers_ends_alone(module: Any, shape: dict[str, int], size: int) -> None:
    wanted = alone(module, *PROMPTS)
    with torch.no_grad():
        module.get_parameter("embed.tokens.weight")[BAD] = torch.nan
    running = engine(module, tokens=size, **shape)
    for _ in range(3):
        *others, bad = logs(running, [*map(request, PROMPTS), request([3] * 20 + [BAD] + [4] * 20)])
        assert str(bad.error) == ("the model gave NaN as a logit in torch.float64; another dtype may help, float32 say")
        assert [tokens(log) for log in others] == wanted
        check_nothing_is_left(running)


@pytest.mark.parametrize("shape", [{}, {"pages": 8, "page": 32}], ids=["a page each", "small pages"])
def test_nobody_finds_or_meets_the_rows_of_a_request_that_failed(module: Any, shape: dict[str, int]) -> None:
    after = [[5], [3] * 20 + [4] * 20, [3] * 33]
    wanted = alone(module, *after)
    with torch.no_grad():
        module.get_parameter("embed.tokens.weight")[BAD] = torch.nan
    running = engine(module, seqs=2, **shape)
    for prompt in ([3] * 20 + [BAD] + [4] * 20, [BAD] * 60):
        (bad,) = logs(running, [request(prompt)])
        assert bad.error is not None
        assert [tokens(log) for log in logs(running, [*map(request, after)])] == wanted


@pytest.mark.parametrize("shape", [{}, {"pages": 8, "page": 32}], ids=["a page each", "small pages"])
def test_nor_those_of_a_request_that_is_cancelled_before_anybody_sees_whether_they_are_numbers(
    module: Any, shape: dict[str, int]
) -> None:
    after = [[5], [3] * 20 + [4] * 20, [3] * 33]
    wanted = alone(module, *after)
    with torch.no_grad():
        module.get_parameter("embed.tokens.weight")[BAD] = torch.nan
    running = engine(module, seqs=2, tokens=30, **shape)
    bad = running.add(request([3] * 20 + [BAD] + [4] * 39))
    running.step()
    running.cancel(bad)
    assert [tokens(log) for log in logs(running, [*map(request, after)])] == wanted
    check_nothing_is_left(running)


@pytest.mark.parametrize("turned", [False, True], ids=["the short one first", "the long one first"])
@pytest.mark.parametrize("shape", [{}, {"pages": 8, "page": 32}], ids=["a page each", "small pages"])
def test_nor_the_row_of_a_token_that_ended_an_answer_and_need_not_have_been_computed(
    module: Any, shape: dict[str, int], turned: bool
) -> None:
    ended = [3] * 20
    (answer,) = alone(module, ended)
    after = [[5], [4] * 60][:: -1 if turned else 1]  # side by side: what is past the end of the short one is masked
    wanted = alone(module, *after)
    last = next(n for n in range(3, 12) if not any(answer[n] in each for each in [answer[:n], *wanted]))
    with torch.no_grad():
        module.get_parameter("embed.tokens.weight")[answer[last]] = torch.nan
    running = engine(module, seqs=2, **shape)
    options = replace(OPTIONS, stop_token_ids=[answer[last]])
    (found,) = logs(running, [request(ended, options)])
    assert tokens(found) == answer[: last + 1]
    assert [tokens(log) for log in logs(running, [*map(request, after)])] == wanted
    check_nothing_is_left(running)


def test_no_token_left_to_draw_ends_one_answer_alone(module: Any) -> None:
    options = SamplingOptions(max_tokens=12, min_tokens=5, stop_token_ids=[*range(256)])
    wanted = alone(module, *PROMPTS[:2])
    first, bad, second = logs(engine(module), [request(PROMPTS[0]), request([1], options), request(PROMPTS[1])])
    assert str(bad.error) == "no token is left to draw: each is forbidden, or has -inf as its logit"
    assert [tokens(first), tokens(second)] == wanted


class Panic(BaseException):
    """As libraries in another language raise it."""


class Fragile(ByteTokenizer):
    """It fails on one token."""

    def __init__(self, token: int, error: BaseException) -> None:
        super().__init__(256)
        self.token, self.error = token, error

    def decode(self, ids: Sequence[int]) -> str:
        if self.token in ids:
            raise self.error
        return super().decode(ids)


@pytest.mark.parametrize("error", [ValueError("no such bytes"), Panic("no such bytes")])
def test_a_tokenizer_that_fails_ends_the_answer_that_it_fails_on(module: Any, error: BaseException) -> None:
    wanted = alone(module, *PROMPTS)
    own = next(token for token in wanted[2] if not any(token in wanted[n] for n in (0, 1, 3)))
    running = engine(module, tokenizer=Fragile(own, error))
    found = logs(running, [*map(request, PROMPTS)])
    assert str(found[2].error) == f"the request cannot be answered: {type(error).__name__}: no such bytes"
    assert found[2].error is not None
    assert found[2].error.__cause__ is error
    assert [tokens(found[n]) for n in (0, 1, 3)] == [wanted[n] for n in (0, 1, 3)]
    check_nothing_is_left(running)


class Failing:
    """A method of a module that fails when it is told to, as `planted` says."""

    def __init__(self, module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.method, self.planted, self.calls = getattr(module, name), dict[int, Exception](), 0
        monkeypatch.setattr(module, name, self)

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.calls += 1
        if (error := self.planted.pop(self.calls, None)) is not None:
            raise error
        return self.method(*given, **named)


@pytest.mark.parametrize("shape", [{}, FEW], ids=["a page each", "small pages"])
@pytest.mark.parametrize("method", ["forward", "compute_logits"])
@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_step_that_fails_ends_its_requests_and_those_that_wait_go_on(
    module: Any, monkeypatch: pytest.MonkeyPatch, method: str, at: int, shape: dict[str, int]
) -> None:
    wanted = alone(module, *PROMPTS)
    failing = Failing(module, method, monkeypatch)
    failing.planted[at] = RuntimeError("boom")
    running = engine(module, seqs=2, **shape)
    found = logs(running, [*map(request, PROMPTS)])
    assert [str(log.error) for log in found[:2]] == ["the request cannot be answered: RuntimeError: boom"] * 2
    assert [tokens(log) for log in found[2:]] == wanted[2:]
    assert [tokens(log) for log in logs(running, [*map(request, PROMPTS)])] == wanted
    check_nothing_is_left(running)


def test_an_error_that_is_kept_keeps_no_tensor(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[weakref.ref[Tensor]] = []

    def fails(*_: object, **__: object) -> None:
        large = torch.zeros(10)
        kept.append(weakref.ref(large))
        raise RuntimeError("boom")

    monkeypatch.setattr(module, "compute_logits", fails)
    running = engine(module)
    (found,) = logs(running, [request([1])])
    gc.collect()
    assert found.error is not None
    assert [reference() for reference in kept] == [None]
    cause = found.error.__cause__
    assert isinstance(cause, RuntimeError)
    assert "in fails" in "".join(cause.__notes__)


ROOM: list[Callable[[], Exception]] = [
    MemoryError,
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried"),
]


@pytest.mark.parametrize("make", ROOM)
@pytest.mark.parametrize("method", ["forward", "compute_logits"])
def test_a_step_that_finds_no_memory_is_taken_up_in_smaller_ones(
    module: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str, make: Any
) -> None:
    wanted = alone(module, *PROMPTS)
    failing = Failing(module, method, monkeypatch)
    failing.planted = {1: make(), 2: make(), 9: make()}
    running = engine(module)
    assert [tokens(log) for log in logs(running, [*map(request, PROMPTS)])] == wanted
    assert caplog.messages[0].startswith("a step of 98 tokens, of 4 requests, finds no memory (")
    assert caplog.messages[0].endswith(
        "); max_num_batched_tokens=49 takes less; what runs begins again, in steps of 49"
    )
    check_nothing_is_left(running)
    counted = failing.calls
    logs(running, [request(PROMPTS[0])])
    assert failing.calls == counted + 12, "once nothing ran, steps are as large as they were"


def test_a_token_that_finds_no_memory_ends_its_request_with_what_would_do(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wanted,) = alone(module, PROMPTS[1])
    failing = Failing(module, "forward", monkeypatch)
    failing.planted = {n: MemoryError("no room") for n in range(1, 7)}  # 40 tokens, 20, 10, 5, 2, 1
    first, second = logs(engine(module, seqs=1), [request(PROMPTS[0]), request(PROMPTS[1])])
    assert isinstance(first.error, OutOfMemoryError)
    assert str(first.error) == "a step of 1 token finds no memory (no room); a smaller kv_cache_memory leaves more"
    assert tokens(second) == wanted


def test_a_batch_is_told_which_prompt_failed(module: Any) -> None:
    run = RunOptions(device=torch.device("cpu"), dtype=torch.float64)
    no_token = SamplingOptions(min_tokens=5, stop_token_ids=[*range(256)])
    asked = [request([1]), request([2], no_token)]
    with pytest.raises(TriptychError, match=r"^prompts\[1\]: no token is left to draw"):
        [*generate(module, asked, run=run)]
    with pytest.raises(TriptychError, match=r"^no token is left to draw"):
        [*generate(module, asked[1:], run=run)]
