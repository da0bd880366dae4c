"""Random numbers without a state: each depends on its seed and its number in the stream alone.

The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014), begun where
the seed's own hash says, so that streams of neighbouring seeds are far apart.
"""

from __future__ import annotations

from torch import Tensor

GAMMA = 0x9E3779B97F4A7C15
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST = 31
BITS = 53  # of a float64's fraction


def start_of(seed: int) -> int:
    """Where the stream of a seed begins, as a signed 64-bit number."""
    value = (seed + GAMMA) % 2**64
    for shift, factor in MIX:
        value = (value ^ (value >> shift)) * factor % 2**64
    return _signed(value ^ (value >> LAST))


def uniform(start_B: Tensor, number_B: Tensor) -> Tensor:
    """Numbers, float64 in [0, 1): those that stand at `number_B` (from 0) in the streams that begin at `start_B`."""
    value_B = start_B + (number_B + 1) * _signed(GAMMA)  # int64 wraps around
    for shift, factor in MIX:
        value_B = (value_B ^ _shifted(value_B, shift)) * _signed(factor)
    value_B = value_B ^ _shifted(value_B, LAST)
    found_B = _shifted(value_B, 64 - BITS).double()
    return found_B * 2.0**-BITS


def _shifted(value_B: Tensor, bits: int) -> Tensor:
    """Shifted right as unsigned: torch copies the sign in from the left."""
    return (value_B >> bits) & (2 ** (64 - bits) - 1)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
