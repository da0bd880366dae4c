"""What sample draws: in which shares, from what, and independently of what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.choice import Kernels, using
from triptych.kernels.sample import Limits, kernel, plain, reference, sample
from triptych.kernels.sample.words import WORD, hashed, mixed, stirred
from triptych.runner.options import SamplingOptions
from triptych.runner.sampling import Sampler
from triptych.runner.streams import GAMMA, state_of

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
    found, _ = op.sample(logits_BV, state_B, warmth, limits_of(asked, len(state_B)))
    return torch.as_tensor(found).view(state.shape)


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


def test_shares_of_tokens_of_many_blocks_are_those_of_the_softmax() -> None:
    logits = torch.randn(700, generator=torch.Generator().manual_seed(0)) / 2  # two blocks, and a part of one
    found = draws(plain, logits, streams(1000, 60), None, 1.0).flatten()
    assert chi_square(found.bincount(minlength=700), shares(logits, 1.0)) < 845  # 699 degrees


ASKED = st.tuples(
    st.sampled_from([0.0, 0.3, 1.0, 4.0]),
    st.sampled_from([2**30, 2**30, 1, 5, 128, 1000]),
    st.sampled_from([2.0, 1.0, 1e-30, 0.3, 0.9, 0.9999]),
    st.sampled_from([0.0, 0.0, 0.05, 1.0]),
)


@settings(deadline=None, max_examples=60)
@given(
    asked=st.lists(ASKED, min_size=1, max_size=5),
    vocab=st.sampled_from([1, 2, 255, 256, 257, 512, 900, 9000]),
    spread=st.sampled_from([0.01, 1.0, 4.0]),
    cut=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_plain_torch_draws_token_by_token_what_the_definition_draws(
    asked: list[tuple[float, ...]], vocab: int, spread: float, cut: bool, seed: int
) -> None:
    made = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(asked), vocab + 3, generator=made)[:, :vocab] * spread
    logits[:, 1::2] = -torch.inf if cut else logits[:, 1::2]
    state = torch.randint(-(2**63), 2**63 - 1, (len(asked),), generator=made)
    temperature, *numbers = torch.tensor(asked).T
    limits = Limits(numbers[0].long(), *numbers[1:])
    for given_limits in (limits, None):
        (found, tops), (wanted, wide) = (
            op.sample(x, state, temperature, given_limits) for op, x in ((plain, logits), (reference, logits.double()))
        )
        assert found.tolist() == wanted.tolist()
        assert tops.tolist() == wide.tolist()
    assert plain.sample(logits, state, None, None)[0].equal(logits.argmax(-1))


@pytest.mark.interpret
def test_a_sampler_draws_in_one_launch_what_plain_torch_draws_in_parts() -> None:
    asked: list[dict[str, Any]] = [
        {},
        {"top_k": 5},
        {"temperature": 0.0},
        {"top_p": 0.9, "min_p": 0.02},
        {"top_k": 1},
        {"temperature": 3.0},
    ]
    logits = torch.randn(2, len(asked), 600, generator=torch.Generator().manual_seed(3))
    logits[:, 4, ::50] = 9.0  # who takes the likeliest takes the first
    found = list[list[list[int]]]()
    for kind in ("triton", "reference"):
        sampler = Sampler(len(asked), vocab_size=600, device=logits.device)
        for slot, options in enumerate(asked):
            sampler.add(slot, SamplingOptions.of(**{"temperature": 1.0, "seed": slot, **options}), [1])
        with using(Kernels.of(kind)):
            drawn = [sampler.draw(step, range(len(asked))) for step in logits]
        assert [each.tops and each.tops.values_B.tolist() for each in drawn] == logits.amax(-1).tolist()
        found.append([each.token_ids.tolist() for each in drawn])
    assert found[0] == found[1]


def test_a_draw_is_the_same_on_rows_of_its_own() -> None:
    """Rows that ask for all kinds of things, one by one and together."""
    rows = [
        (0.0, 9, 0.5, 0.0),
        (1.0, 2**30, 2.0, 0.0),
        (1.0, 9, 2.0, 0.0),
        (2.0, 2**30, 0.9, 0.1),
        (0.5, 2**30, 1.0, 0.0),
    ]
    temperature, *numbers = torch.tensor(rows).T
    limits, state = Limits(numbers[0].long(), *numbers[1:]), streams(5, 1)[:, 0]
    logits = torch.randn(5, 3000, generator=torch.Generator().manual_seed(1))
    together = sample(logits, state, temperature, limits)
    for row in range(5):
        own = slice(row, row + 1)
        alone = sample(logits[own], state[own], temperature[own], limits.of(torch.tensor([row])))
        assert [each.tolist() for each in alone] == [each[own].tolist() for each in together]


@pytest.mark.interpret
def test_the_kernel_draws_token_by_token_what_the_definition_draws() -> None:
    state = streams(10, 40)
    found, wanted = (draws(op, LOGITS, state, None, 2.0) for op in (kernel, reference))
    assert found.equal(wanted)
    assert chi_square(found.flatten().bincount(minlength=8), shares(LOGITS, 2.0)) < 30


@pytest.mark.interpret
def test_the_kernel_draws_from_many_blocks_what_the_definition_draws() -> None:
    """So flat that any block, and any of its tokens, may come, and the few of the last come often."""
    logits = torch.randn(2820, generator=torch.Generator().manual_seed(2)) * 1.5
    logits[2816:] = 14.0
    found, wanted = (draws(op, logits, streams(1, 40), None, 3.0) for op in (kernel, reference))
    assert found.equal(wanted)
    assert len({token // 256 for token in found[0].tolist()}) > 6


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
    words = hashed(state, torch.arange(100))
    shares = torch.stack([(words >> bit & 1).double().mean() for bit in range(32)])
    assert (shares - 0.5).abs().max() < 4.5 * 0.5 / words.numel() ** 0.5
    begun = stirred(mixed(state) & WORD)
    assert words[:, 0].equal(stirred(begun ^ (mixed(state) >> 32 & WORD)))


def test_tensors_are_hashed_as_arrays_are() -> None:
    """As on a device, where numpy is not at hand."""
    state, numbers = streams(3, 4).flatten(), torch.tensor([0, 1, 2**31, 2**32 - 1])
    assert hashed(state, numbers).tolist() == hashed(state.numpy(), numbers.numpy()).tolist()


def test_noise_is_distributed_as_gumbels() -> None:
    noise = reference.gumbel(streams(20, 100).flatten(), torch.arange(100))
    found = ((-noise).exp().neg().exp() * 100).long().clamp(max=99).flatten()  # its own share of what is below
    assert chi_square(found.bincount(minlength=100), torch.full((100,), 0.01)) < 161  # 99 degrees


@pytest.mark.interpret
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered")  # numpy's, in the interpreter
@pytest.mark.parametrize("asked", [None, {"top_k": 3, "top_p": 0.9, "min_p": 0.1}], ids=str)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_of_what_is_no_number_some_token_is_taken_and_told(value: str, asked: dict[str, Any] | None) -> None:
    for logits in (torch.full((8,), float(value)), torch.where(torch.arange(8) == 3, float(value), LOGITS)):
        state_B, limits = streams(1, 2)[0], limits_of(asked, 2)
        for op in (kernel, plain):
            for warmth in (torch.ones(2), torch.zeros(2), None):
                found, tops = op.sample(logits.expand(2, -1), state_B, warmth, limits)
                assert ((found >= 0) & (found < 8)).all()
                assert str(tops.tolist()) == str(logits.amax()[None].tolist() * 2)


def test_the_noise_of_half_precision_is_that_of_full() -> None:
    state = streams(1, 500)
    found = draws(reference, LOGITS.bfloat16(), state, None)
    assert found.equal(draws(reference, LOGITS.bfloat16().float(), state, None))


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(KernelError, match=r"are \(3, 8\), \(3,\), \(2,\)"):
        sample(torch.ones(3, 8), torch.ones(3).long(), torch.ones(2), None)
