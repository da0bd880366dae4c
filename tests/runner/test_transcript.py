"""What may come next in a transcript, against the reference's own rules for marks of time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig
from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor

from triptych.runner.transcript import Marks, Scores, Transcript

FIRST, VOCAB = 12, 24  # the first mark of time; before it stand words, the end and the token that asks for no times
END, OFF, PROMPT = FIRST - 2, FIRST - 1, [1, 2]
WORDS = st.integers(0, END - 1)


def form_of(tokens: list[int], *, latest: int | None = None) -> list[bool]:
    logits = torch.zeros(VOCAB)
    form = Transcript(VOCAB, marks=Marks(FIRST, OFF, latest)).start({END})
    for token in tokens:
        assert form.push(token) is False
    found: list[bool] = form.allowed_of(logits).tolist()
    return found


@st.composite
def answers(draw: st.DrawFn) -> list[int]:
    """Marks that never go back, words between them, cut off anywhere."""
    tokens, at = list[int](), FIRST
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(at, VOCAB - 1))
        at = draw(st.integers(start, VOCAB - 1))
        tokens += [start, *draw(st.lists(WORDS, min_size=1, max_size=3)), at]
    return tokens[: draw(st.integers(0, len(tokens)))]


@given(
    tokens=answers(),
    seed=st.integers(0, 10_000),
    bias=st.sampled_from([-3.0, 0.0, 3.0]),
    latest=st.one_of(st.none(), st.integers(0, 5)),
)
def test_marks_of_time_are_allowed_as_the_reference_allows_them(
    tokens: list[int], seed: int, bias: float, latest: int | None
) -> None:
    logits = torch.randn(VOCAB, generator=torch.Generator().manual_seed(seed))
    logits[FIRST:] += bias
    config = GenerationConfig(eos_token_id=END, bos_token_id=END, no_timestamps_token_id=OFF)
    config.max_initial_timestamp_index = latest
    oracle = WhisperTimeStampLogitsProcessor(config, begin_index=len(PROMPT))
    wanted = oracle(torch.tensor([PROMPT + tokens]), logits[None].clone())[0].isfinite()
    form = Transcript(VOCAB, marks=Marks(FIRST, OFF, None if latest is None else FIRST + latest)).start({END})
    for token in tokens:
        form.push(token)
    found = form.allowed_of(logits)
    assert found.tolist() == wanted.tolist()


def test_some_tokens_are_never_written_and_some_do_not_begin() -> None:
    form = Transcript(6, never=(1,), not_first=(2, 5)).start({5})
    assert form.allowed().tolist() == [True, False, False, True, True, False]
    form.push(0)
    assert form.allowed_of(torch.zeros(6)).tolist() == [True, False, True, True, True, True]


def test_a_transcript_begins_with_a_mark_and_closes_what_it_opens() -> None:
    assert [n for n, ok in enumerate(form_of([], latest=FIRST + 2)) if ok] == [FIRST, FIRST + 1, FIRST + 2]
    assert not any(form_of([FIRST])[FIRST:])
    after_a_pair = form_of([FIRST, 3, FIRST + 4])
    assert [n for n, ok in enumerate(after_a_pair) if ok] == [*range(FIRST + 4, VOCAB)]


def test_tokens_are_scored_among_those_that_might_have_come() -> None:
    scores = Scores()
    form = Transcript(4, never=(1,), not_first=(2,), scores=scores).start({3})
    form.allowed_of(torch.tensor([0.0, 9.0, 9.0, 0.0]))  # the first and the last may come, one as soon as the other
    form.push(0)
    form.allowed_of(torch.tensor([0.0, 9.0, 0.0, 0.0]))  # of three
    assert scores.mean(3) == pytest.approx(-(math.log(2) + math.log(3)) / 2)
    again = Transcript(4, scores=Scores()).start({3})
    again.push(0)  # of an answer that begins again, whose tokens were drawn before
    assert again._of.scores is not None
    assert (again._of.scores.total, again._of.scores.count) == (0.0, 0)
