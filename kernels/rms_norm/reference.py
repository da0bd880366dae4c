"""The definition: y = x / sqrt(mean(x^2) + eps) * (weight + offset). Zhang and Sennrich 2019, arXiv 1910.07467."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.kernels.widened import widened


def rms_norm(x: Tensor, weight: Tensor | None, *, eps: float, offset: float, cast_first: bool) -> Tensor:
    wide = x.to(widened(x.dtype))
    y = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    if weight is None:
        return y.to(x.dtype)
    if not cast_first:
        return (y * (weight.to(wide.dtype) + offset)).to(x.dtype)
    return y.to(x.dtype) * (weight + offset if offset else weight)
