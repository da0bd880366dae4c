"""A few rows in float32 on a CPU of AVX2, as (weight x^T)^T.

There torch's library multiplies by a narrow matrix on the right up to twice as fast as by one of few rows on the left.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

FEW, MANY = 2, 129  # rows: from so many, and below so many, this is the faster one


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y = torch.mm(weight, x.flatten(0, -2).t()).t().contiguous().view(*x.shape[:-1], -1)
    return y if bias is None else y + bias


def suits(x: Tensor, rows: int) -> bool:
    """Whether so many rows are better multiplied so."""
    return FEW <= rows < MANY and x.dtype == torch.float32 and x.device.type == "cpu" and is_avx2()


@cache
def is_avx2() -> bool:
    """Whether the processor has AVX2 and nothing later, so that it does not multiply halves either."""
    return torch.backends.cpu.get_cpu_capability() == "AVX2"
