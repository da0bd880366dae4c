"""Numbers that depend on a seed and a place alone."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.runner.uniform import BELOW_ONE, GAMMA, mixed, state_of, uniform


def numbers(seed: int, count: int) -> Tensor:
    return uniform(torch.tensor([state_of(seed, number) for number in range(count)]))


def test_they_are_those_of_splitmix64() -> None:
    """The first outputs of the reference implementation from state 0, their upper 53 bits."""
    first = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]
    found = uniform(torch.tensor([1, 2, 3, 4]) * GAMMA)
    assert found.tolist() == [(value >> 11) * (2.0**-53 * BELOW_ONE) for value in first]
    assert (state_of(0, 0) - GAMMA) % 2**64 == first[0]


def test_the_next_state_is_gamma_further() -> None:
    states = torch.tensor([state_of(7, number) for number in range(5)])
    assert torch.equal(states[1:], states[:-1] + GAMMA)


def test_tensors_are_mixed_as_arrays_are() -> None:
    """As on a device, where numpy is not at hand."""
    states = torch.tensor([state_of(seed, number) for seed in (0, 1, 2**62) for number in (0, 1, 10**12)])
    assert mixed(states).tolist() == mixed(states.numpy()).tolist()


def test_they_are_even_and_below_one() -> None:
    found = numbers(12, 200_000)
    assert found.dtype == torch.float64
    assert 0 <= float(found.min()) <= float(found.max()) < 1
    counts = (found * 100).long().bincount(minlength=100)
    assert float(((counts - 2000) ** 2 / 2000).sum()) < 161  # 99 degrees: once in ten thousand


def test_neighbouring_seeds_have_streams_apart() -> None:
    streams = torch.stack([numbers(seed, 2000) for seed in (0, 1, 2, 2**62, 2**63 - 1)])
    assert len(streams.unique()) == streams.numel()
    assert float((torch.corrcoef(streams) - torch.eye(5)).abs().max()) < 0.1
