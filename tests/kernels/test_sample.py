"""What sample draws: in which shares, from what, and independently of what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.sample import Limits, kernel, reference, sample
from triptych.runner.uniform import GAMMA, mixed, state_of

LOGITS = torch.tensor([0.3, -1.0, 2.0, 0.0, 2.5, 1.1, -3.0, 2.0])
CLOSE = 2 + torch.tensor([3.0, 0.0, 7.0, 5.0, 4.0, 6.0, 2.0, 1.0]) * 1e-5
LIMITS = [
    None,
    {"top_k": 4},
    {"top_p": 0.6},
    {"top_k": 5, "top_p": 0.8},
    {"min_p": 0.2},
    {"top_k": 7, "top_p": 0.95, "min_p": 0.1},
]


def limits_of(asked: dict[str, Any] | None, rows: int) -> Limits | None:
    if asked is None:
        return None
    values = {"top_k": 2**30, "top_p": 2.0, "min_p": 0.0, **asked}
    return Limits(*(torch.full((rows,), values[name]) for name in Limits._fields))


def streams(seeds: int, times: int) -> Tensor:
    """The states of so many numbers of each seed's stream, [seeds, times]."""
    starts = torch.tensor([state_of(seed, 0) for seed in range(seeds)])
    return starts[:, None] + torch.arange(times) * GAMMA


def draws(op: Any, logits_V: Tensor, state: Tensor, asked: dict[str, Any] | None, temperature: float = 0.7) -> Tensor:
    """A token for each state, in its place."""
    state_B = state.flatten()
    logits_BV = logits_V.expand(len(state_B), -1)
    warmth = torch.full((len(state_B),), temperature)
    found: Tensor = op.sample(logits_BV, state_B, warmth, limits_of(asked, len(state_B)))
    return found.view(state.shape)


def shares(logits_V: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> Tensor:
    """As one does it by hand."""
    order = sorted(range(len(logits_V)), key=lambda token: -float(logits_V[token]))
    chances = (logits_V.double() / temperature).softmax(-1)
    stay = [token for token in order if logits_V[token] >= logits_V[order[(top_k or len(order)) - 1]]]
    whole, sums = sum(float(chances[token]) for token in stay), 0.0
    last = stay[0]
    for token in stay:
        if sums < top_p * whole or logits_V[token] == logits_V[last]:
            last = token
        sums += float(chances[token])
    least = max(float(chances[last]), min_p * float(chances[order[0]]))
    found = torch.tensor([float(p) if token in stay and p >= least else 0.0 for token, p in enumerate(chances)])
    return found / found.sum()


def chi_square(found: Tensor, shares: Tensor) -> float:
    """Of counts against shares; what has no share must not be found."""
    assert not found[shares == 0].any()
    wanted = shares[shares > 0] * found.sum()
    return float(((found[shares > 0] - wanted) ** 2 / wanted).sum())


@pytest.mark.parametrize("asked", LIMITS, ids=str)
def test_shares_of_200000_draws_are_those_of_the_limited_softmax(asked: dict[str, Any] | None) -> None:
    found = draws(reference, LOGITS, streams(2000, 100), asked).flatten()
    assert chi_square(found.bincount(minlength=8), shares(LOGITS, 0.7, **asked or {})) < 30  # once in ten thousand


@pytest.mark.interpret
def test_the_kernel_draws_token_by_token_what_the_definition_draws() -> None:
    state = streams(10, 40)
    found, wanted = (draws(op, LOGITS, state, None, 2.0) for op in (kernel, reference))
    assert found.equal(wanted)
    assert chi_square(found.flatten().bincount(minlength=8), shares(LOGITS, 2.0)) < 30


@pytest.mark.interpret
@pytest.mark.parametrize(
    ("logits", "asked"),
    [
        (CLOSE, {"top_k": 2}),
        (CLOSE, {"top_p": 0.4}),
        (LOGITS, {"top_k": 6, "top_p": 0.4}),
        (LOGITS, {"min_p": 0.99}),
        (LOGITS, {"top_k": 7, "top_p": 0.6, "min_p": 0.99}),
    ],
    ids=str,
)
def test_all_that_stays_is_drawn_and_nothing_else(logits: Tensor, asked: dict[str, Any]) -> None:
    """So warm that all that stays is nearly as likely: one token more or less shows in every third draw."""
    state = streams(1, 40)
    found, wanted = (draws(op, logits, state, asked, 300.0) for op in (kernel, reference))
    assert found.equal(wanted)
    assert {*found[0].tolist()} == {*shares(logits, 300.0, **asked).nonzero()[:, 0].tolist()}


@pytest.mark.parametrize("neighbours", ["numbers", "seeds"])
def test_draws_are_independent_of_each_other(neighbours: str) -> None:
    found = draws(reference, torch.zeros(10), streams(1000, 200), None)
    first, second = (found[:, :-1], found[:, 1:]) if neighbours == "numbers" else (found[:-1], found[1:])
    pairs = (first * 10 + second).flatten()
    assert chi_square(pairs.bincount(minlength=100), torch.full((100,), 0.01)) < 161  # 99 degrees


def test_words_are_even_in_each_bit_and_begin_with_those_of_streams() -> None:
    state = streams(40, 50).flatten()
    words = reference.hashed(state, 100)
    shares = torch.stack([(words >> bit & 1).double().mean() for bit in range(32)])
    assert (shares - 0.5).abs().max() < 4.5 * 0.5 / words.numel() ** 0.5
    stirred = reference._stirred(mixed(state) & reference.WORD)
    assert words[:, 0].equal(reference._stirred(stirred ^ (mixed(state) >> 32 & reference.WORD)))


@pytest.mark.interpret
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered")  # numpy's, in the interpreter
@pytest.mark.parametrize("asked", [None, {"top_k": 3, "top_p": 0.9, "min_p": 0.1}], ids=str)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_of_what_is_no_number_some_token_is_taken(value: str, asked: dict[str, Any] | None) -> None:
    for logits in (torch.full((8,), float(value)), torch.where(torch.arange(8) == 3, float(value), LOGITS)):
        found = draws(kernel, logits, streams(1, 2), asked)
        assert ((found >= 0) & (found < 8)).all()


def test_the_noise_of_half_precision_is_that_of_full() -> None:
    state = streams(1, 500)
    found = draws(reference, LOGITS.bfloat16(), state, None)
    assert found.equal(draws(reference, LOGITS.bfloat16().float(), state, None))


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(KernelError, match=r"are \(3, 8\), \(3,\), \(2,\)"):
        sample(torch.ones(3, 8), torch.ones(3).long(), torch.ones(2), None)
