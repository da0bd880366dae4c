"""The definition: argmax((logits - top) / temperature + noise) over the tokens that stay, with Gumbel's noise.

Adding it and taking the largest draws from the softmax (Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030). A row
without limits is drawn from in two steps, so that a vocabulary needs little noise: which block of tokens, by the sums
of their weights, and which of these. Noise is a hash (`words.py`) of the row's state and of a number: that of the
token in its block, or SIZE and that of the block; where some tokens are left out, that of the token.
"""

# B rows, V vocabulary, N blocks of a row, S tokens of a block

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from triptych.kernels.sample.blocks import SIZE
from triptych.kernels.sample.words import exponential
from triptych.kernels.widened import widened

if TYPE_CHECKING:
    from triptych.kernels.sample import Limits


def sample(
    logits_BV: Tensor, state_B: Tensor, temperature_B: Tensor | None, limits: Limits | None
) -> tuple[Tensor, Tensor]:
    x_BV = logits_BV.to(widened(logits_BV.dtype))
    top_B1, places_V = x_BV.amax(-1, keepdim=True), torch.arange(x_BV.shape[1], device=x_BV.device)
    found_B = torch.where(x_BV == top_B1, places_V, x_BV.shape[1] - 1).amin(-1)
    if temperature_B is not None:
        is_warm_B = temperature_B > 0
        z_BV = (x_BV - top_B1) / torch.where(is_warm_B, temperature_B, 1.0)[:, None]
        drawn_B = _by_block(z_BV, state_B)
        if limits is not None:
            left_BV = z_BV.masked_fill(~_kept(x_BV, z_BV.exp(), limits), -torch.inf)
            by_token_B = (left_BV + gumbel(state_B, places_V)).argmax(-1)
            leave_out_B = torch.tensor(limits.leave_out(x_BV.shape[1]), device=x_BV.device)
            drawn_B = torch.where(leave_out_B, by_token_B, drawn_B)
        found_B = torch.where(is_warm_B, drawn_B, found_B)
    return found_B, top_B1[:, 0].to(logits_BV.dtype)


def _by_block(z_BV: Tensor, state_B: Tensor) -> Tensor:
    """A token for each row, [B]."""
    size = min(SIZE, z_BV.shape[1])
    z_BNS = pad(z_BV, (0, -z_BV.shape[1] % size), value=-torch.inf).view(len(z_BV), -(-z_BV.shape[1] // size), size)
    numbers_N, numbers_S = (torch.arange(count, device=z_BV.device) for count in z_BNS.shape[1:])
    block_B = (z_BNS.logsumexp(-1) + gumbel(state_B, SIZE + numbers_N)).argmax(-1)
    z_BS = z_BNS[torch.arange(len(z_BV), device=z_BV.device), block_B]
    found_B: Tensor = (z_BS + gumbel(state_B, numbers_S)).argmax(-1)
    return block_B * size + found_B


def gumbel(state_B: Tensor, numbers: Tensor) -> Tensor:
    """Gumbel's noise for each row and number ([N] or [B, N], below 2**32): [B, N], float64, from -2.9 to 22.9."""
    return -exponential(state_B, numbers).log()


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
