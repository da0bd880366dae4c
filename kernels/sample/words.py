"""Numbers as good as drawn, each a hash of a state and of its own number: no generator is asked, and none moves on.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014) makes two words of 32 bits of
the state, which go into a hash of 32 bits (lowbias32 of Wellons, "Prospecting for Hash Functions", 2018) one by one.
"""

# B rows, N numbers

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MIX = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
STIR = ((16, 0x7FEB352D), (15, 0x846CA68B))
WORD = 2**32 - 1
BELOW_ONE = 1 - 2.0**-24

Words = TypeVar("Words", Tensor, NDArray[np.int64])


def exponential(state_B: Tensor, numbers: Tensor) -> Tensor:
    """What is exponentially distributed, for each row and number ([N] or [B, N], below 2**32): [B, N], float64.

    From 1e-10 to 17, as far as words of 32 bits go and float32 keeps them from 1.
    """
    if state_B.device.type == "cpu":  # some dozen calls on few numbers, which cost numpy less
        words_BN = torch.from_numpy(hashed(state_B.numpy(), numbers.numpy()))
    else:
        words_BN = hashed(state_B, numbers)
    return words_BN.double().add_(0.5).mul_(-(2.0**-32)).clamp_(min=-BELOW_ONE).log1p_().neg_()


def hashed(state_B: Words, numbers: Words) -> Words:
    """A word of 32 bits for each row and number ([N] or [B, N]), [B, N], int64."""
    state_B1 = mixed(state_B)[:, None]
    return stirred(stirred(numbers ^ (state_B1 & WORD)) ^ shifted(state_B1, 32))


def mixed(words: Words) -> Words:
    """What states become: words whose bits are each as good as drawn."""
    for shift, factor in MIX:
        words = (words ^ shifted(words, shift)) * factor
    return words ^ shifted(words, 31)


def stirred(words: Words) -> Words:
    """The same of 32 bits."""
    for shift, factor in STIR:
        words = ((words ^ (words >> shift)) * factor) & WORD
    return words ^ (words >> 16)


def shifted(words: Words, bits: int) -> Words:
    """Shifted right as unsigned: the sign is copied in from the left, and cut off."""
    found: Words = (words >> bits) & (2 ** (64 - bits) - 1)
    return found
