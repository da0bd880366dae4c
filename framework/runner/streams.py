"""Streams of states, from each of which a draw is made: a state depends on its seed and its number there alone.

They are those of SplitMix64, begun where the seed's own hash says, so that streams of neighbouring seeds are far apart.
"""

from __future__ import annotations

import numpy as np

from triptych.kernels.sample.words import mixed

GAMMA = 0x9E3779B97F4A7C15 - 2**64  # as a signed number: int64 wraps around


def state_of(seed: int, number: int) -> int:
    """The state of a seed's stream from which its draw of this number comes; the next one is GAMMA further."""
    start = int(mixed(np.array([_signed(seed + GAMMA)]))[0])
    return _signed(start + (number + 1) * GAMMA)


def _signed(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63
