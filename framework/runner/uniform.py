"""Random numbers without a state: each depends on its seed and its number in the stream alone.

The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014), begun where
the seed's own hash says, so that streams of neighbouring seeds are far apart.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GAMMA = 0x9E3779B97F4A7C15 - 2**64  # as a signed number: int64 wraps around
MIX = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
LAST = 31
BITS = 53  # of a float64's fraction
BELOW_ONE = 1 - 2.0**-51  # the product of this and any number is below that number, rounded or not
SCALE = 2.0**-BITS * BELOW_ONE

Words = TypeVar("Words", Tensor, NDArray[np.int64])


def state_of(seed: int, number: int) -> int:
    """The state of a seed's stream from which its number at this place comes; the next one is GAMMA further."""
    start = int(mixed(np.array([_signed(seed + GAMMA)]))[0])
    return _signed(start + (number + 1) * GAMMA)


def uniform(state_B: Tensor) -> Tensor:
    """The numbers, float64 from 0 to BELOW_ONE, that these states (int64) give."""
    if state_B.device.type == "cpu":  # a dozen calls on a few numbers, which cost numpy less
        return torch.from_numpy(_shifted(mixed(state_B.numpy()), 64 - BITS) * SCALE)
    return _shifted(mixed(state_B), 64 - BITS).double() * SCALE


def mixed(words: Words) -> Words:
    """What states become: words whose bits are each as good as drawn."""
    for shift, factor in MIX:
        words = (words ^ _shifted(words, shift)) * factor
    return words ^ _shifted(words, LAST)


def _shifted(words: Words, bits: int) -> Words:
    """Shifted right as unsigned: the sign is copied in from the left, and cut off."""
    found: Words = (words >> bits) & (2 ** (64 - bits) - 1)
    return found


def _signed(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63
