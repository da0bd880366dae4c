"""A few rows of half precision on a CPU, as the layer_norm of each row beside its mirror image.

The mean of (x, -x) is nought, and its variance the mean square of x, so that layer_norm divides by what rms_norm does.
Torch computes it in one pass there, and rms_norm in a pass for each operation.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

ROWS = 8  # more rows are as fast without, and take less memory


def rms_norm(x: Tensor, weight: Tensor, *, eps: float) -> Tensor:
    """The normed rows, back in the dtype of x before they meet the weight."""
    both = x.unsqueeze(-2).mul(_signs(x.dtype))
    return torch.native_layer_norm(both, both.shape[-2:], None, None, eps)[0].select(-2, 0).mul(weight)


@cache
def _signs(dtype: torch.dtype) -> Tensor:
    return torch.tensor([[1.0], [-1.0]], dtype=dtype)


def suits(x: Tensor, *, offset: float, cast_first: bool) -> bool:
    """Whether these rows are sooner normed so."""
    if x.numel() > ROWS * x.shape[-1] or not cast_first or offset or torch.is_grad_enabled():  # gradients would differ
        return False
    return x.dtype in (torch.bfloat16, torch.float16) and x.device.type == "cpu"
