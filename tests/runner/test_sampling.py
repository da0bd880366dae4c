"""Drawing tokens in slots: the shares are right, streams are apart, and neighbours change nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from triptych.errors import TriptychError
from triptych.runner.options import SamplingOptions
from triptych.runner.sampling import Sampler
from triptych.runner.shaping import History

CPU = torch.device("cpu")
LOGITS = torch.tensor([2.0, -1.0, 3.0, 0.5, 3.5, -float("inf"), 1.0, 2.5])
PROMPT = (1, 2, 1)


def sampler_of(*asked: dict[str, Any], vocab: int = len(LOGITS), end_ids: frozenset[int] = frozenset()) -> Sampler:
    """Each of these options in a slot of its own, from 0 on."""
    sampler = Sampler(len(asked), vocab_size=vocab, device=CPU, end_ids=end_ids)
    for slot, options in enumerate(asked):
        sampler.add(slot, SamplingOptions.of(**options), PROMPT)
    return sampler


def draws(logits_V: Tensor, count: int, **options: Any) -> list[int]:
    sampler = sampler_of({"seed": 7, **options}, vocab=len(logits_V))
    return [int(sampler.draw(logits_V[None], [0]).token_ids) for _ in range(count)]


def failure(logits_V: Tensor, **options: Any) -> str:
    """What is told of one request whose draw fails."""
    return str(sampler_of(options, vocab=len(logits_V)).draw(logits_V[None], [0]).failures()[0])


def batch_of_draws(logits_V: Tensor, count: int, *, times: int = 1, **options: Any) -> Tensor:
    """`times` draws of each of `count` seeds, [count, times]."""
    sampler = sampler_of(*({"seed": seed, **options} for seed in range(count)), vocab=len(logits_V))
    logits_BV = logits_V.expand(count, -1)
    return torch.stack([sampler.draw(logits_BV, range(count)).token_ids for _ in range(times)], -1)


def chi_square(found: Tensor, shares: Tensor) -> float:
    """Of counts against shares; what has no share must not be found."""
    assert not found[shares == 0].any()
    wanted = shares[shares > 0] * found.sum()
    return float(((found[shares > 0] - wanted) ** 2 / wanted).sum())


def test_greedy_takes_the_likeliest() -> None:
    assert draws(LOGITS, 3) == [4, 4, 4]
    assert draws(LOGITS, 3, temperature=1.0, top_k=1) == [4, 4, 4]
    assert draws(LOGITS, 3, temperature=1e-6) == [4, 4, 4]


@pytest.mark.parametrize("vocab", [1, 5, 255, 256, 257, 1000, 49152])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_greedy_takes_the_first_of_the_likeliest(vocab: int, dtype: torch.dtype) -> None:
    logits = torch.randn(9, vocab, generator=torch.Generator().manual_seed(vocab)).to(dtype)
    found = sampler_of(*[{}] * 9, vocab=vocab).draw(logits, range(9)).token_ids
    assert found.tolist() == [row.index(max(row)) for row in logits.tolist()]


@pytest.mark.parametrize("options", [{}, {"top_k": 4}, {"top_p": 0.6}, {"top_k": 5, "top_p": 0.8}, {"min_p": 0.2}])
def test_shares_of_200000_draws_are_those_of_the_limited_softmax(options: dict[str, Any]) -> None:
    wanted = shares(LOGITS, 0.7, **options)
    found = batch_of_draws(LOGITS, 2000, times=100, temperature=0.7, **options).flatten()
    assert chi_square(found.bincount(minlength=len(LOGITS)), wanted) < 30  # up to 7 degrees: once in ten thousand


def shares(logits_V: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> Tensor:
    """As transformers' own warpers leave them."""
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    if min_p:
        warpers.append(MinPLogitsWarper(min_p))
    limited: Tensor = warpers(torch.zeros(1, 1, dtype=torch.int64), logits_V[None])
    return limited.softmax(-1)[0]


def test_a_large_vocabulary_is_drawn_from_evenly() -> None:
    vocab = 1000  # three whole blocks, and a part of one
    found = batch_of_draws(torch.zeros(vocab), 2000, times=100, temperature=1.0).flatten()
    assert chi_square(found.bincount(minlength=vocab), torch.full((vocab,), 1 / vocab)) < 1175  # once in ten thousand


@pytest.mark.parametrize("apart", [1, 2, 50])
def test_draws_of_one_request_are_independent_of_each_other(apart: int) -> None:
    found = batch_of_draws(torch.zeros(10), 2000, times=100, temperature=1.0)
    pairs = (found[:, :-apart] * 10 + found[:, apart:]).flatten()
    assert chi_square(pairs.bincount(minlength=100), torch.full((100,), 0.01)) < 161  # 99 degrees


def test_draws_of_neighbouring_seeds_are_independent_of_each_other() -> None:
    found = batch_of_draws(torch.zeros(10), 2000, times=100, temperature=1.0)
    pairs = (found[:-1] * 10 + found[1:]).flatten()
    assert chi_square(pairs.bincount(minlength=100), torch.full((100,), 0.01)) < 161


MIXED: list[dict[str, Any]] = [
    {},
    {"top_k": 5},
    {"top_p": 0.5},
    {"temperature": 0.0},
    {"top_k": 1},
    {"temperature": 9.0},
    {"top_k": 200, "top_p": 0.99},
    {"top_p": 0.999},
    {"min_p": 0.1, "top_p": 0.9},
    {"repetition_penalty": 1.7},
    {"temperature": 0.0, "frequency_penalty": 0.5, "presence_penalty": 0.4},
    {"logit_bias": {3: 9.0}},
    {"min_tokens": 4, "stop_token_ids": range(0, 3000, 2)},
    {"logprobs": 3},
]


def test_a_row_is_drawn_alike_beside_others() -> None:
    logits = torch.randn(6, len(MIXED), 3000, generator=torch.Generator().manual_seed(0))
    asked = [{"temperature": 1.0, "seed": n, "max_tokens": 99, **each} for n, each in enumerate(MIXED)]
    together, slots = sampler_of(*asked, vocab=3000), list(range(len(asked)))
    found = [together.draw(logits_BV, slots).token_ids.tolist() for logits_BV in logits]
    for n, each in enumerate(asked):
        alone = sampler_of(each, vocab=3000)
        assert [int(alone.draw(rows[n, None], [0]).token_ids) for rows in logits] == [step[n] for step in found]


def test_requests_keep_their_streams_while_others_come_and_go() -> None:
    asked = [{"temperature": 1.0, "seed": n, "repetition_penalty": 1.0 + n % 2} for n in range(6)]
    logits = torch.randn(1, 500, generator=torch.Generator().manual_seed(2))
    wanted = [draws(logits[0], 3, **each) for each in asked]
    sampler = Sampler(3, vocab_size=500, device=CPU)
    options = [SamplingOptions.of(**each) for each in asked]
    found: list[list[int]] = [[] for _ in asked]
    waiting, held = iter(range(len(asked))), dict[int, int]()  # the request in each slot, the last to come in front
    while any(len(tokens) < 3 - n % 2 for n, tokens in enumerate(found)):
        for slot in {0, 1, 2} - held.keys():
            if (number := next(waiting, None)) is not None:
                held = {slot: number, **held}
                sampler.add(slot, options[number], PROMPT)
        slots = [*held]
        tokens = sampler.draw(logits.expand(len(slots), -1), slots).token_ids.tolist()
        for slot, token in zip(slots, tokens, strict=True):
            found[held[slot]].append(token)
            if len(found[held[slot]]) == 3 - held[slot] % 2:  # every second one leaves earlier
                sampler.remove(slot)
                del held[slot]
    assert found == [tokens[: 3 - n % 2] for n, tokens in enumerate(wanted)]


@pytest.mark.parametrize("options", MIXED)
def test_a_request_that_comes_back_goes_on_as_if_it_had_stayed(options: dict[str, Any]) -> None:
    asked = SamplingOptions.of(**{"temperature": 1.0, "seed": 5, "max_tokens": 99, **options})
    logits = torch.randn(8, 1, 40, generator=torch.Generator().manual_seed(3))
    for left_after in range(8):
        stays, leaves = (Sampler(2, vocab_size=40, device=CPU) for _ in range(2))
        stays.add(0, asked, PROMPT)
        leaves.add(0, asked, PROMPT)
        wanted = [int(stays.draw(row, [0]).token_ids) for row in logits]
        found = [int(leaves.draw(row, [0]).token_ids) for row in logits[:left_after]]
        leaves.remove(0)
        leaves.add(1, asked, PROMPT, answer_ids=found)
        assert found + [int(leaves.draw(row, [1]).token_ids) for row in logits[left_after:]] == wanted


def test_without_a_seed_draws_differ() -> None:
    found = {tuple(draws(torch.zeros(10**6), 1, temperature=1.0, seed=None)) for _ in range(4)}
    assert len(found) > 1


def test_half_precision_is_drawn_in_full() -> None:
    logits = torch.zeros(70_000, dtype=torch.float16)
    found = set(batch_of_draws(logits, 50, temperature=1.0)[:, 0].tolist())
    assert len(found) == 50
    assert max(found) > 60_000


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0}, {"top_p": 0.5, "temperature": 1.0}])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_what_is_no_number_is_an_error_with_the_dtype(value: str, options: dict[str, Any]) -> None:
    name = {"nan": "NaN"}.get(value, value)
    wanted = f"the model gave {name} as a logit in torch.float16; another dtype may help, float32 say"
    assert failure(torch.tensor([0.0, float(value)], dtype=torch.float16), **options) == wanted


def test_a_row_without_a_token_left_is_an_error() -> None:
    wanted = "no token is left to draw: each is forbidden, or has -inf as its logit"
    assert failure(torch.full((3,), -float("inf"))) == wanted
    assert failure(torch.zeros(2), min_tokens=1, stop_token_ids=[0, 1], temperature=1.0) == wanted


class Broken:
    """A mask that follows its answer no further."""

    def allowed(self) -> Tensor:
        raise TriptychError("it cannot be followed")


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0}, {"temperature": 1.0, "top_k": 2, "logprobs": 1}])
def test_what_fails_is_the_failure_of_its_row_and_others_draw_as_before(options: dict[str, Any]) -> None:
    rows = torch.randn(6, 3000, generator=torch.Generator().manual_seed(1))
    asked: list[dict[str, Any]] = [{**(options if n % 2 else {}), "seed": n} for n in range(6)]
    wanted = sampler_of(*asked, vocab=3000).draw(rows, range(6)).token_ids
    rows[1, 7], rows[3, 2999], rows[4] = torch.nan, torch.inf, -torch.inf
    sampler = sampler_of(*asked, vocab=3000)
    sampler.remove(5)
    sampler.add(5, SamplingOptions(seed=5, **options), [1], mask=Broken())
    drawn = sampler.draw(rows, range(6))
    assert {row: str(error)[:22] for row, error in drawn.failures().items()} == {
        1: "the model gave NaN as ",
        3: "the model gave inf as ",
        4: "no token is left to dr",
        5: "it cannot be followed",
    }
    assert drawn.token_ids[[0, 2]].tolist() == wanted[[0, 2]].tolist()
    assert all(0 <= token < 3000 for token in drawn.token_ids.tolist()), "the next step may embed any of them"
    assert len(drawn.logprobs()) == 6


class Only:
    """A mask that lets one token come."""

    def __init__(self, token: int) -> None:
        self.token = token

    def allowed(self) -> Tensor:
        return torch.arange(len(LOGITS)) == self.token


def test_tokens_are_kept_for_penalties_alone_and_no_longer_than_one_asks_for_them() -> None:
    history = History(256, device=CPU)
    history.add(3, [5] * 900, [7] * 100)
    assert history.nbytes == 256 * 1000 * 5, "four bytes for an id, one for whether it is the first"
    history.remove(9)
    assert history.nbytes
    history.remove(3)
    assert history.nbytes == 0
    history.add(3, [5], [])
    history.push([3], torch.tensor([3]), torch.tensor([8]))
    past = history.past([3], torch.tensor([3]))
    assert past.ids_BL.tolist() == [[5, 8]]
    assert past.is_answer_BL.tolist() == past.is_first_BL.tolist() == [[False, True]]


def test_a_mask_holds_for_its_own_request_alone() -> None:
    sampler = Sampler(2, vocab_size=len(LOGITS), device=CPU)
    for slot, mask in enumerate([Only(1), None]):
        sampler.add(slot, SamplingOptions(), PROMPT, mask=mask)
    assert sampler.draw(LOGITS.expand(2, -1), [1, 0]).token_ids.tolist() == [4, 1]
    sampler.remove(0)
    sampler.add(0, SamplingOptions(temperature=1.0, seed=1), PROMPT)
    found = [int(sampler.draw(LOGITS[None], [0]).token_ids) for _ in range(20)]
    assert found == draws(LOGITS, 20, temperature=1.0, seed=1)


def test_ends_are_forbidden_until_there_are_enough_tokens() -> None:
    logits = torch.tensor([[0.0, 9.0, 5.0, 7.0]])
    asked = {"min_tokens": 2, "stop_token_ids": [3, 4000]}  # an id that no token has ends nothing
    sampler = sampler_of(asked, vocab=4, end_ids=frozenset([1]))
    assert [int(sampler.draw(logits, [0]).token_ids) for _ in range(4)] == [2, 2, 1, 1]
    sampler = sampler_of({**asked, "ignore_eos": True}, vocab=4, end_ids=frozenset([1]))
    assert int(sampler.draw(logits, [0]).token_ids) == 1


def test_logprobs_are_those_of_the_logits_as_they_came() -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(4)).bfloat16()
    asked: dict[str, Any] = {"temperature": 3.0, "top_k": 9, "logit_bias": {4: 5.0}, "repetition_penalty": 2.0}
    drawn = sampler_of({**asked, "logprobs": 0}, asked, {**asked, "logprobs": 3}, vocab=50).draw(logits, [0, 1, 2])
    wanted = logits.float().log_softmax(-1)
    first, second, third = drawn.logprobs()
    assert second is None
    for row, found, count in ((0, first, 0), (2, third, 3)):
        assert found is not None
        assert found.token_id == drawn.token_ids[row]
        assert found.logprob == float(wanted[row, found.token_id])
        values, ids = wanted[row].topk(count)
        assert [*found.likeliest.items()] == [*zip(ids.tolist(), values.tolist(), strict=True)]


def test_more_logprobs_than_there_are_tokens_are_those_of_all() -> None:
    (found,) = sampler_of({"logprobs": 10**9}).draw(LOGITS[None], [0]).logprobs()
    assert found is not None
    assert sorted(found.likeliest) == list(range(len(LOGITS)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_draws_what_a_cpu_draws() -> None:
    logits = torch.randn(6, len(MIXED), 3000, generator=torch.Generator().manual_seed(0))
    asked = [SamplingOptions.of(**{"temperature": 1.0, "seed": n, "max_tokens": 99, **o}) for n, o in enumerate(MIXED)]
    found = []
    for device in (CPU, torch.device("cuda")):
        sampler = Sampler(len(asked), vocab_size=3000, device=device)
        for slot, options in enumerate(asked):
            sampler.add(slot, options, PROMPT)
        steps = [sampler.draw(step.to(device), range(len(asked))).token_ids.tolist() for step in logits]
        found.append(steps)
    assert found[0] == found[1]
