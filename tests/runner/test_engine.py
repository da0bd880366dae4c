"""The engine changes no answer: however prompts are cut, pages shared, requests stopped, cancelled or put together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.runner.echo  # noqa: F401  # registers its mixer
import triptych
from triptych.inputs.prompt import Prompt
from triptych.inputs.tokenizer import ByteTokenizer
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Group, Layout, by_reach, row_size, rows_of
from triptych.runner.engine import Engine
from triptych.runner.entry import Entry
from triptych.runner.event import Event
from triptych.runner.options import SamplingOptions
from triptych.runner.request import Request, RunOptions
from triptych.runner.schedule import Plan
from triptych.runner.sizes import Sizes

ECHO = Path(__file__).parent / "echo.yaml"
# whole, in windows or both, with a softcap, with places that are learned, in chunks or both, and beside states
SPECS = ["llama", "gemma2", "mistral", "gpt2", "llama in chunks", "gemma2 in chunks", "echo", "mamba", "bamba"]
STATES = ("echo", "mamba", "bamba")  # nothing of a prompt is known again
OVERRIDES = {
    "llama with sinks": ["parts.attention.scores.sinks=true"],
    "llama that turns by length": ["parts.rope.scaling={type: dynamic, factor: 2.0}"],
    "llama in chunks": ["parts.attention.reach.chunk=24"],
    "gemma2 in chunks": ["parts.attention.reach.window=null", "parts.attention.reach.chunk==24 if layer % 2 else None"],
}
LONGEST = 128
PREFIX = [7 * n % 250 for n in range(45)]
PROMPTS = [PREFIX + [3, 4], [5], PREFIX + [9] * 30, [1, 2, 3] * 9, PREFIX[:20], [8] * 64, [2, 1]]
OPTIONS = SamplingOptions(max_tokens=24, temperature=1.0, seed=5, ignore_eos=True)
OVERLAP = pytest.mark.parametrize("overlap", [False, True], ids=["in turn", "overlapping"])
FEW = {"page": 16, "more": 1}  # pages that hold the longest request, and hardly another


@cache
def module(spec: str) -> Any:
    """In float64: answers are drawn, and a number that differs in its last place may not change one."""
    name = str(ECHO) if spec == "echo" else spec.partition(" ")[0]
    return triptych.random_init(name, seed=1, overrides=OVERRIDES.get(spec)).module.double()


def layout(spec: str, *, seqs: int, page: int = LONGEST, more: int = 0) -> Layout:
    """A page for each, else pages for one request and `more`, of a table for each way of forgetting."""
    needs = module(spec).cache_needs()
    if page == LONGEST or not rows_of(needs):
        return Layout.whole(needs, pages=seqs, page=LONGEST)
    found = by_reach(needs, longest=LONGEST).items()
    groups = tuple(Group(tuple(keys), reach, page, row_size(keys)) for reach, keys in found)
    return Layout(needs, groups, sum(group.pages(LONGEST) for group in groups) + more, seqs)


def engine(
    spec: str, *, tokens: int = 8192, seqs: int = 8, live: bool = False, overlap: bool = False, **shape: int
) -> Engine:
    device = torch.device("cpu")
    run = RunOptions(device=device, dtype=torch.float64, max_num_batched_tokens=tokens, overlap=overlap)
    sizes = Sizes(layout(spec, seqs=seqs, **shape), seqs=seqs, longest=LONGEST)
    return Engine(module(spec), sizes=sizes, run=run, tokenizer=ByteTokenizer(256), live=live)


def request(ids: Sequence[int], options: SamplingOptions = OPTIONS) -> Request:
    return Request(Prompt(tuple(ids)), options)


def finish(running: Engine) -> list[Event]:
    found: list[Event] = []
    while running.busy:
        found += running.step()
    return found


def tokens(events: Sequence[Event]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for event in events:
        found.setdefault(event.request, []).append(event.token_id)
    return found


def answered(running: Engine, prompts: Sequence[Sequence[int]] = PROMPTS) -> list[list[int]]:
    numbers = [running.add(request(ids)) for ids in prompts]
    found = tokens(finish(running))
    return [found[number] for number in numbers]


@cache
def alone(spec: str) -> list[list[int]]:
    """Each by itself, in an engine of its own."""
    return [answered(engine(spec), [ids])[0] for ids in PROMPTS]


@pytest.mark.parametrize("spec", SPECS)
def test_drawn_answers_are_those_of_one_pass_over_all(spec: str) -> None:
    """The engine against the model itself: each token is drawn from logits that no cache had a part in."""
    from triptych.parts.step import Step
    from triptych.runner.sampling import Sampler

    made, ids = module(spec), [*PROMPTS[0]]
    sampler = Sampler(1, vocab_size=made.vocab_size, device=torch.device("cpu"))
    sampler.add(0, OPTIONS, ids)
    for _ in range(OPTIONS.max_tokens):
        step = Step.of([len(ids)])
        with torch.inference_mode():
            hidden = made(torch.tensor(ids), step.positions, step=step)
            drawn = sampler.draw(made.compute_logits(hidden[-1:]), [0])
        ids += drawn.token_ids.tolist()
    assert ids[len(PROMPTS[0]) :] == alone(spec)[0]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("shape", [{}, FEW], ids=["a page each", "small pages"])
@OVERLAP
def test_seven_together_are_seven_alone(spec: str, shape: dict[str, int], overlap: bool) -> None:
    assert answered(engine(spec, overlap=overlap, **shape)) == alone(spec)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(("size", "overlap"), [(1, False), (5, True), (33, False), (33, True)])
def test_prompts_in_chunks_are_prompts_at_once(spec: str, size: int, overlap: bool) -> None:
    assert answered(engine(spec, tokens=size, seqs=4, overlap=overlap)) == alone(spec)
    assert answered(engine(spec, tokens=size, seqs=4, overlap=overlap, **FEW)) == alone(spec)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec not in STATES])
@pytest.mark.parametrize("shape", [{}, {"page": 16, "more": 64}], ids=["copied", "shared"])
@OVERLAP
def test_rows_that_were_there_are_as_good_as_new(spec: str, shape: dict[str, int], overlap: bool) -> None:
    running = engine(spec, overlap=overlap, **shape)
    assert [answered(running, [ids])[0] for ids in PROMPTS] == alone(spec)
    read = count_reads(running)
    assert [answered(running, [ids])[0] for ids in PROMPTS] == alone(spec)
    assert read[0] < sum(map(len, PROMPTS)) // 2


def test_of_a_model_with_states_every_row_is_computed() -> None:
    running = engine("echo", page=16, more=64)
    read = count_reads(running)
    assert [answered(running, [ids])[0] for ids in PROMPTS * 2] == alone("echo") * 2
    assert read[0] == 2 * sum(len(ids) for ids in PROMPTS if len(ids) > 1)


@pytest.mark.parametrize("spec", ["mistral", "gemma2", "llama in chunks"])
def test_of_a_prefix_that_is_found_only_what_is_seen_has_to_be_there(spec: str) -> None:
    running = engine(spec, page=16, more=2)
    assert answered(running, [PROMPTS[2]]) == [alone(spec)[2]]
    read = count_reads(running)
    assert answered(running, [PROMPTS[2][:-1] + [1]])
    assert read[0] == len(PROMPTS[2]) - 64


LONG = [n * n % 251 for n in range(100)]


@pytest.mark.parametrize("spec", ["mistral", "gemma2", "llama in chunks", "gemma2 in chunks"])
@pytest.mark.parametrize(("size", "overlap"), [(7, False), (7, True), (8192, False)])
def test_a_long_request_fits_because_what_it_sees_no_more_is_given_back(spec: str, size: int, overlap: bool) -> None:
    running = engine(spec, tokens=size, overlap=overlap, page=16)
    cut = running._sizes.layout
    assert cut.pages < len(cut.groups) * -(-LONGEST // 16)  # the rows of all groups would not fit
    stopped = note_stopped(running)
    assert answered(running, [LONG]) == answered(engine(spec), [LONG])
    assert not stopped
    assert running._state.pool.available == cut.pages


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec != "mamba"])  # of which a slot is all
@OVERLAP
def test_who_made_way_goes_on_as_if_it_had_not(spec: str, overlap: bool) -> None:
    running = engine(spec, overlap=overlap, **FEW)
    stopped = note_stopped(running)
    assert answered(running) == alone(spec)
    assert stopped


@pytest.mark.parametrize("spec", ["llama", "gemma2", "echo"])
@OVERLAP
def test_a_stream_is_the_whole(spec: str, overlap: bool) -> None:
    whole, live = (engine(spec, live=each, overlap=overlap, **FEW) for each in (False, True))
    texts = []
    for running in (whole, live):
        running.add(request(PROMPTS[0]))
        texts.append([event.text for event in finish(running)])
    assert "".join(texts[0]) == "".join(texts[1])
    assert not any(texts[0][:-1])


@pytest.mark.parametrize("spec", ["mistral", "gemma2", "llama in chunks", "echo"])
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_neighbours_that_come_and_are_cancelled_change_nothing(spec: str, data: st.DataObject) -> None:
    tokens_a_step, overlap = data.draw(st.sampled_from([5, 40, 8192])), data.draw(st.booleans())
    running = engine(spec, tokens=tokens_a_step, seqs=4, overlap=overlap, **FEW)
    watched = {running.add(request(PROMPTS[n])): n for n in (0, 3)}
    found: list[Event] = []
    others: list[int] = []
    while any(number in running._entries for number in watched):
        if data.draw(st.booleans()):
            others.append(running.add(request(data.draw(st.sampled_from(PROMPTS)))))
        if others and data.draw(st.booleans()):
            running.cancel(data.draw(st.sampled_from(others)))
        for _ in range(data.draw(st.integers(1, 9))):
            found += running.step()
    for number in others:
        running.cancel(number)
    finish(running)
    assert {n: tokens(found)[number] for number, n in watched.items()} == {n: alone(spec)[n] for n in (0, 3)}
    assert not running.busy
    assert running._state.pool.available == running._state.pool.pages


def note_stopped(running: Engine) -> list[tuple[Entry, int]]:
    """Who makes way from now on, with the slot that each had."""
    stopped: list[tuple[Entry, int]] = []
    plan = running._state.scheduler.plan

    def noted() -> Plan:
        found = plan()
        assert not any(entry.ahead for entry, _ in found.stopped), "rows that nobody has seen are given away"
        stopped.extend(found.stopped)
        return found

    running._state.scheduler.plan = noted  # type: ignore[method-assign]
    return stopped


def count_reads(running: Engine) -> list[int]:
    """How many rows of prompts an engine computes from now on, as it runs."""
    found = [0]
    step_in = running._cache.step_in

    def counted(lengths: Sequence[int], **options: Any) -> Any:
        found[0] += sum(length for length in lengths if length > 1)
        return step_in(lengths, **options)

    running._cache.step_in = counted  # type: ignore[method-assign]
    return found


@OVERLAP
def test_no_slot_or_entry_is_left_behind(overlap: bool) -> None:
    running = engine("llama", seqs=3, overlap=overlap, **FEW)
    numbers = [running.add(request(ids)) for ids in PROMPTS * 3]
    for number in numbers[::2]:
        running.cancel(number)
    running.cancel(10**6)
    finish(running)
    assert not running._state.sampler._options
    assert len(running._state.scheduler._slots) == 3
    assert isinstance(running._cache, Cache)
