"""The definition: y = x cos + partner(x) sin, the sign of the turn in the sine. Su et al. 2021, arXiv 2104.09864."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary(x_THK: Tensor, cos_T1R: Tensor, sin_T1R: Tensor, *, interleaved: bool) -> Tensor:
    width = cos_T1R.shape[-1]
    if width < x_THK.shape[-1]:
        turned, rest = x_THK[..., :width], x_THK[..., width:]
        return torch.cat((rotary(turned, cos_T1R, sin_T1R, interleaved=interleaved), rest), -1)
    partner = (
        x_THK.reshape(*x_THK.shape[:-1], -1, 2).flip(-1).flatten(-2) if interleaved else x_THK.roll(width // 2, -1)
    )
    return torch.addcmul(x_THK * cos_T1R, partner, sin_T1R)
