"""Logits are shaped as by transformers' processors, in their order, before a token is drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import one_hot
from transformers import (
    MinNewTokensLengthLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
)

from tests.kernels.limited import (
    SEEDS,
    filtered,
    is_on_the_edge,
    limits_of,
    processed,
    random_logits,
    relaxed,
    warm,
    warped,
)
from triptych.runner.options import SamplingOptions
from triptych.runner.sampling import Sampler

CPU = torch.device("cpu")


class Told(Sampler):
    """Keeps the logits that it draws from."""

    def _drawn(self, logits_BV: Tensor, *args: Any, **options: Any) -> Tensor:
        self.shaped = logits_BV
        return super()._drawn(logits_BV, *args, **options)


def shaped(logits_V: Tensor, *, prompt: list[int], answer: list[int], **options: Any) -> Tensor:
    """What a sampler makes of logits before it draws, in a slot that was in use, beside one that asks for nothing."""
    sampler = Told(2, vocab_size=len(logits_V), device=CPU, end_ids=frozenset([2]))
    sampler.add(0, SamplingOptions(), [1])
    sampler.add(1, SamplingOptions(presence_penalty=1.0), [1], answer_ids=[*range(len(logits_V))] * 2)
    sampler.remove(1)
    sampler.add(1, SamplingOptions.of(**{"max_tokens": 99, **options}), prompt, answer_ids=answer)
    sampler.draw(logits_V.expand(2, -1), [0, 1])
    assert torch.equal(sampler.shaped[0], logits_V)
    return sampler.shaped[1]


IDS = st.lists(st.integers(0, 19), min_size=1, max_size=30)
penalties = st.floats(-2, 2).map(lambda value: round(value, 3))


@relaxed
@given(IDS, IDS, SEEDS, st.floats(0.1, 3).map(lambda value: round(value, 3)))
def test_repetition_is_penalized_as_by_transformers(
    prompt: list[int], answer: list[int], seed: int, penalty: float
) -> None:
    logits = random_logits(seed, 20)
    wanted = processed(logits, RepetitionPenaltyLogitsProcessor(penalty), ids=(*prompt, *answer))
    found = shaped(logits, prompt=prompt, answer=answer, repetition_penalty=penalty)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)


@relaxed
@given(IDS, IDS, SEEDS, penalties, penalties)
def test_presence_and_frequency_count_in_the_answer_alone(
    prompt: list[int], answer: list[int], seed: int, presence: float, frequency: float
) -> None:
    logits = random_logits(seed, 20)
    counts = torch.tensor(answer).bincount(minlength=20)
    wanted = logits - presence * (counts > 0) - frequency * counts
    found = shaped(logits, prompt=prompt, answer=answer, presence_penalty=presence, frequency_penalty=frequency)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@relaxed
@given(st.lists(IDS, min_size=1, max_size=3), st.lists(IDS, min_size=3, max_size=3), SEEDS, penalties, penalties)
def test_tokens_that_were_drawn_count_as_those_that_a_request_comes_back_with(
    prompts: list[list[int]], answers: list[list[int]], seed: int, presence: float, frequency: float
) -> None:
    asked = {"presence_penalty": presence, "frequency_penalty": frequency, "repetition_penalty": 1.3, "max_tokens": 99}
    length, slots = min(map(len, answers)), range(len(prompts))
    sampler = Told(3, vocab_size=20, device=CPU)
    for slot, prompt in enumerate(prompts):
        sampler.add(slot, SamplingOptions.of(**asked), prompt)
    for step in range(length):
        wanted = torch.tensor([answers[slot][step] for slot in slots])
        assert torch.equal(sampler.draw(one_hot(wanted, 20) * 1e6, slots).token_ids, wanted)
    logits = random_logits(seed, len(prompts), 20)
    sampler.draw(logits, slots)
    for slot, prompt in enumerate(prompts):
        wanted = shaped(logits[slot], prompt=prompt, answer=answers[slot][:length], **asked)
        assert torch.equal(sampler.shaped[slot], wanted)


@relaxed
@given(IDS, SEEDS, st.integers(0, 6), st.integers(0, 6), st.sets(st.integers(0, 19)))
def test_ends_are_forbidden_as_by_transformers(
    prompt: list[int], seed: int, count: int, least: int, stops: set[int]
) -> None:
    logits = random_logits(seed, 20)
    ends = sorted(stops | {2})
    ids = (*prompt, *[3] * count)
    wanted = processed(logits, MinNewTokensLengthLogitsProcessor(len(prompt), least, ends), ids=ids)
    assume(not wanted.isinf().all())
    found = shaped(logits, prompt=prompt, answer=[3] * count, min_tokens=least, stop_token_ids=[*stops, 10**9])
    assert torch.equal(found, wanted)


@relaxed
@given(SEEDS, st.dictionaries(st.integers(0, 19), st.floats(-50, 50, width=32)))
def test_logits_are_biased_as_by_transformers(seed: int, biases: dict[int, float]) -> None:
    logits = random_logits(seed, 20)
    made = [SequenceBiasLogitsProcessor([[[token], value] for token, value in biases.items()])] if biases else []
    wanted = processed(logits, *made)
    assert torch.equal(shaped(logits, prompt=[1], answer=[], logit_bias=biases), wanted)


@relaxed
@given(IDS, IDS, SEEDS, warm(), st.dictionaries(st.integers(0, 19), st.floats(-5, 5, width=32), min_size=1))
def test_all_together_come_in_the_order_of_transformers(
    prompt: list[int], answer: list[int], seed: int, asked: dict[str, Any], biases: dict[int, float]
) -> None:
    logits, ids = random_logits(seed, 20), (*prompt, *answer)
    asked = {**asked, "max_tokens": 99, "min_tokens": 40, "stop_token_ids": [7]}
    asked = {**asked, "repetition_penalty": 1.4, "logit_bias": biases}
    processors = [
        SequenceBiasLogitsProcessor([[[token], value] for token, value in biases.items()]),
        RepetitionPenaltyLogitsProcessor(1.4),
        MinNewTokensLengthLogitsProcessor(len(prompt), 40, [2, 7]),
        TemperatureLogitsWarper(asked["temperature"]),
    ]
    before = processed(logits, *processors, ids=ids)
    limits = {name: asked[name] for name in ("top_k", "top_p", "min_p")}
    assume(not is_on_the_edge(before, **limits))
    found = shaped(logits, prompt=prompt, answer=answer, **asked) / asked["temperature"]
    wanted = warped(before, **limits).softmax(-1)
    left = filtered(found[None], limits_of([asked], 20))[0].softmax(-1)
    assert torch.equal(left > 0, wanted > 0)
    torch.testing.assert_close(left, wanted, rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_shaped_in_full(dtype: torch.dtype) -> None:
    logits = random_logits(0, 20).to(dtype)
    found = shaped(logits, prompt=[1], answer=[], logit_bias={3: 0.001})
    assert found.dtype == torch.float32
    assert found[3] == logits[3].float() + 0.001
