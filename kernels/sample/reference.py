"""The definition: argmax((logits - top) / temperature + noise) over the tokens that stay, with Gumbel's noise.

Adding it and taking the largest draws from the softmax (Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030). The noise
of a token is a hash of the row's state and of the token: SplitMix64 makes two words of 32 bits of the state, which go
into a hash of 32 bits (lowbias32 of Wellons, "Prospecting for Hash Functions", 2018) one after the other.
"""

# B rows, V vocabulary

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from triptych.kernels.widened import widened

if TYPE_CHECKING:
    from triptych.kernels.sample import Limits

MIX = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
STIR = ((16, 0x7FEB352D), (15, 0x846CA68B))
WORD = 2**32 - 1
BELOW_ONE = 1 - 2.0**-24


def sample(logits_BV: Tensor, state_B: Tensor, temperature_B: Tensor, limits: Limits | None) -> Tensor:
    x_BV = logits_BV.to(widened(logits_BV.dtype))
    top_B1 = x_BV.amax(-1, keepdim=True)
    warm_B1 = temperature_B[:, None] > 0
    z_BV = (x_BV - top_B1) / torch.where(warm_B1, temperature_B[:, None], 1.0)
    if limits is not None:
        z_BV = z_BV.masked_fill(~_kept(x_BV, z_BV.exp(), limits), -torch.inf)
    drawn_B1 = (z_BV + noise(state_B, x_BV.shape[1]).to(z_BV.dtype)).max(-1, keepdim=True)[1]
    places_V = torch.arange(x_BV.shape[1], device=x_BV.device)
    first_B1 = torch.where(x_BV == top_B1, places_V, x_BV.shape[1] - 1).amin(-1, keepdim=True)
    return torch.where(warm_B1, drawn_B1, first_B1)[:, 0]


def noise(state_B: Tensor, count: int) -> Tensor:
    """Gumbel's, of the tokens below `count`, [B, count], float64: -log of what is exponentially distributed."""
    words_BV = hashed(state_B, count)
    return -torch.log(-torch.log1p(-((words_BV.double() + 0.5) * 2.0**-32).clamp(max=BELOW_ONE)))


def hashed(state_B: Tensor, count: int) -> Tensor:
    """A word of 32 bits for each row and token, [B, count], int64."""
    for shift, factor in MIX:
        state_B = (state_B ^ _shifted(state_B, shift)) * factor
    state_B = state_B ^ _shifted(state_B, 31)
    tokens_V = torch.arange(count, device=state_B.device)
    return _stirred(_stirred(tokens_V ^ (state_B & WORD)[:, None]) ^ _shifted(state_B, 32)[:, None])


def _kept(x_BV: Tensor, weights_BV: Tensor, limits: Limits) -> Tensor:
    """Which tokens stay, [B, V]."""
    last_B1 = limits.top_k[:, None].long().clamp(1, x_BV.shape[1]) - 1
    sorted_BV = x_BV.sort(-1, descending=True)[0]
    kept_BV = x_BV >= sorted_BV.gather(1, last_B1)
    share_B1 = limits.top_p[:, None].double()
    order_BV = x_BV.argsort(-1, descending=True)
    found_BV = (weights_BV * kept_BV).gather(1, order_BV).double()
    sums_BV = found_BV.cumsum(-1)
    short_BV = sums_BV - found_BV < share_B1 * sums_BV[:, -1:]  # those before do not make up the share
    floor_B1 = sorted_BV.gather(1, (short_BV.sum(-1, keepdim=True) - 1).clamp(min=0))
    kept_BV &= (x_BV >= floor_B1) | (share_B1 >= 1)
    return kept_BV & (weights_BV >= limits.min_p[:, None])


def _stirred(words: Tensor) -> Tensor:
    for shift, factor in STIR:
        words = ((words ^ (words >> shift)) * factor) & WORD
    return words ^ (words >> 16)


def _shifted(words: Tensor, bits: int) -> Tensor:
    """Shifted right as unsigned: the sign is copied in from the left, and cut off."""
    found: Tensor = (words >> bits) & (2 ** (64 - bits) - 1)
    return found
