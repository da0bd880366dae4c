"""Torch's own rms_norm, in the two orders of cast and weight; on a CPU it gives the bits of the definition."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, *, eps: float, offset: float, cast_first: bool) -> Tensor:
    if offset and not cast_first:
        return F.rms_norm(x.float(), weight.shape, weight.float() + offset, eps).to(x.dtype)
    if cast_first and x.dtype != torch.float32:  # torch casts after the weight
        return F.rms_norm(x, weight.shape, None, eps) * (weight + offset if offset else weight)
    return F.rms_norm(x, weight.shape, weight + offset if offset else weight, eps)
