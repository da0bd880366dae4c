"""The definition: y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias. Ba et al. 2016, arXiv 1607.06450."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, *, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)
