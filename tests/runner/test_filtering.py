"""What may be drawn is what transformers' processors leave: the same tokens, with the same chances."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import one_hot
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from triptych.runner import blocks, filtering
from triptych.runner.filtering import Limits, filtered
from triptych.runner.options import SamplingOptions
from triptych.runner.sampling import Sampler
from triptych.runner.sampling_plan import Table
from triptych.runner.uniform import BELOW_ONE

CPU = torch.device("cpu")
SEEDS = st.integers(0, 2**31)
VOCABS = st.sampled_from([1, 2, 7, 127, 128, 129, 300, 900, 9000])
relaxed = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def warm(draw: st.DrawFn) -> dict[str, Any]:
    """Options of a request that is drawn for from some of the tokens."""
    found = {
        "temperature": draw(st.floats(0.05, 5)),
        "top_k": draw(st.sampled_from([0, 0, 2, 5, 127, 128, 129, 768, 10**6])),
        "top_p": draw(st.one_of(st.just(1.0), st.floats(1e-6, 0.9999))),
        "min_p": draw(st.one_of(st.just(0.0), st.floats(1e-6, 1))),
    }
    assume(SamplingOptions(**found).limited)
    return found


def random_logits(seed: int, *shape: int, spread: float = 2.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * spread


def limits_of(asked: list[dict[str, Any]], vocab: int) -> Limits:
    """As a sampler has them."""
    table = Table(len(asked), vocab_size=vocab, device=CPU)
    options = [SamplingOptions.of(**each) for each in asked]
    for slot, each in enumerate(options):
        table.put(slot, each)
    (found,) = table.plan(range(len(asked)), options, [frozenset()] * len(asked)).warm
    assert found.limits is not None
    return found.limits


def processed(logits_V: Tensor, *processors: LogitsProcessor, ids: tuple[int, ...] = (0,)) -> Tensor:
    found: Tensor = LogitsProcessorList(processors)(torch.tensor([ids]), logits_V[None].clone())
    return found[0]


def warped(logits_V: Tensor, *, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0, **_: Any) -> Tensor:
    """As transformers limits logits, in its order."""
    made: list[LogitsProcessor] = [TopKLogitsWarper(top_k)] if top_k else []
    made += [TopPLogitsWarper(top_p)] if top_p < 1 else []
    made += [MinPLogitsWarper(min_p)] if min_p else []
    return processed(logits_V, *made)


def is_on_the_edge(logits_V: Tensor, *, top_k: int, top_p: float, min_p: float, **_: Any) -> bool:
    """Whether rounding decides on a token: a share of the first, or a running sum, lies on the limit."""
    limited = warped(logits_V, top_k=top_k)
    chances = limited.double().softmax(-1).sort(descending=True)[0]
    by_share = (chances.cumsum(-1) - top_p).abs().min() < 1e-4
    by_min = ((chances / chances[0]) / max(min_p, 1e-30) - 1).abs().min() < 1e-4
    return bool((top_p < 1 and by_share) or (min_p and by_min))


@relaxed
@given(st.lists(warm(), min_size=1, max_size=4), VOCABS, SEEDS, st.sampled_from([0.01, 1.0, 4.0]))
def test_limits_leave_the_tokens_and_chances_that_transformers_leaves(
    asked: list[dict[str, Any]], vocab: int, seed: int, spread: float
) -> None:
    logits = random_logits(seed, len(asked), vocab, spread=spread)
    assume(not any(is_on_the_edge(row, **each) for row, each in zip(logits, asked, strict=True)))
    assume(all(len(row.unique()) == vocab for row in logits))
    found = filtered(logits, limits_of(asked, vocab))
    for row, logits_V, each in zip(found, logits, asked, strict=True):
        wanted = warped(logits_V, **each)
        assert torch.equal(row.softmax(-1) > 0, wanted.softmax(-1) > 0)
        torch.testing.assert_close(row.softmax(-1), wanted.softmax(-1), rtol=1e-5, atol=0)


@relaxed
@given(warm(), VOCABS, SEEDS, st.integers(2, 5))
def test_tokens_that_are_as_likely_stay_or_go_together(
    asked: dict[str, Any], vocab: int, seed: int, levels: int
) -> None:
    logits = random_logits(seed, 1, vocab).mul(levels).round()
    found = filtered(logits, limits_of([asked], vocab))[0]
    left, gone = set(logits[0][found > -torch.inf].tolist()), set(logits[0][found == -torch.inf].tolist())
    assert left
    assert not left & gone
    assert all(value > max(gone, default=-torch.inf) for value in left)
    assert torch.equal(found[found > -torch.inf], logits[0][found > -torch.inf])


def test_top_k_keeps_all_that_are_as_likely_as_the_last_like_transformers() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, 2.0, 2.0, 0.0]])
    found = filtered(logits, limits_of([{"temperature": 1.0, "top_k": 2}], 6))[0]
    assert torch.equal(found, warped(logits[0], top_k=2))
    assert found.isfinite().tolist() == [False, True, True, True, True, False]


@relaxed
@given(st.lists(warm(), min_size=2, max_size=5), VOCABS, SEEDS)
def test_a_row_is_limited_alike_beside_others(asked: list[dict[str, Any]], vocab: int, seed: int) -> None:
    logits = random_logits(seed, len(asked), vocab)
    together = filtered(logits, limits_of(asked, vocab))
    for row, each in enumerate(asked):
        assert torch.equal(filtered(logits[row, None], limits_of([each], vocab))[0], together[row])


@relaxed
@given(warm(), VOCABS, SEEDS)
def test_only_what_stays_is_drawn_in_shares_of_the_uniform_number(asked: dict[str, Any], vocab: int, seed: int) -> None:
    logits, limits = random_logits(seed, 1, vocab), limits_of([asked], vocab)
    weights = filtered(logits, limits)[0].double().softmax(-1)
    sums = weights.cumsum(-1)
    for share in [0.0, 0.25, 0.5, BELOW_ONE]:
        token = int(filtering.drawn(logits, limits, torch.tensor([[share]], dtype=torch.float64)))
        assert weights[token] > 0
        assert float(sums[token] - weights[token]) - 1e-5 <= share <= float(sums[token]) + 1e-5


@relaxed
@given(st.sampled_from([1, 3, 255, 256, 257, 511, 700]), SEEDS, st.floats(0, BELOW_ONE))
def test_a_row_is_drawn_from_by_blocks_as_by_its_whole_running_sum(vocab: int, seed: int, share: float) -> None:
    weights = random_logits(seed, 3, vocab).relu_()  # about half of them 0
    weights[:, seed % vocab] = 1.0
    found = blocks.drawn(weights, torch.full((3, 1), share, dtype=torch.float64))
    for row, token in zip(weights.double(), found.tolist(), strict=True):
        assert row[token] > 0
        sums = row.cumsum(-1) / row.sum()
        assert float(sums[token] - row[token] / row.sum()) - 1e-6 <= share <= float(sums[token]) + 1e-6


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
