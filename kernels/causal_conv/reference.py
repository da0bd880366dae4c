"""The definition: y_t = bias + sum over n of weight_n x_(t - N + 1 + n), channel by channel."""

# B sequences of L rows, C channels, N taps

from __future__ import annotations

import torch
from torch import Tensor


def causal_conv(x_BLC: Tensor, weight_CN: Tensor, bias_C: Tensor | None, *, past_BCN: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [B, L, C] of sequences that go on from `past` [B, C, N - 1] -> [B, L, C] and the last N - 1 rows."""
    L = x_BLC.shape[1]
    seen_BMC = torch.cat((past_BCN.transpose(1, 2).to(x_BLC.dtype), x_BLC), 1)
    y_BLC = seen_BMC[:, :L] * weight_CN[:, 0]
    for n in range(1, weight_CN.shape[1]):
        y_BLC = y_BLC + seen_BMC[:, n : n + L] * weight_CN[:, n]
    return y_BLC if bias_C is None else y_BLC + bias_C, seen_BMC[:, L:].transpose(1, 2)
