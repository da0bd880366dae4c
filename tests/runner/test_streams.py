"""States that depend on a seed and a place alone."""

from __future__ import annotations

import numpy as np

from triptych.kernels.sample.words import mixed
from triptych.runner.streams import GAMMA, state_of


def test_they_are_those_of_splitmix64() -> None:
    """What the reference implementation makes of its first states from 0 on."""
    first = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]
    assert [value % 2**64 for value in mixed(np.array([1, 2, 3, 4]) * GAMMA).tolist()] == first
    assert (state_of(0, 0) - GAMMA) % 2**64 == first[0]


def test_the_next_state_is_gamma_further() -> None:
    states = np.array([state_of(7, number) for number in range(5)])
    assert (states[1:] == states[:-1] + GAMMA).all()


def test_neighbouring_seeds_have_streams_apart() -> None:
    streams = np.array([[state_of(seed, n) for n in range(2000)] for seed in (0, 1, 2, 2**62, 2**63 - 1)])
    assert len(np.unique(streams)) == streams.size
    found = np.corrcoef(mixed(streams).astype(float))
    assert abs(found - np.eye(5)).max() < 0.1
