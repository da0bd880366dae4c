"""The definition: log(sum(exp(z))) - z[target], which is torch's own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.kernels.widened import widened


def cross_entropy(logits: Tensor, targets: Tensor, *, ignore: int, scale: float, softcap: float | None) -> Tensor:
    wide = logits.to(widened(logits.dtype))
    wide = wide * scale if scale != 1 else wide
    wide = softcap * torch.tanh(wide / softcap) if softcap is not None else wide
    return F.cross_entropy(wide, targets, ignore_index=ignore, reduction="none")
