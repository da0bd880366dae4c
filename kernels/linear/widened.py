"""Half precision on a CPU that multiplies none: a few rows of the weight at a time as float32, which it is fast at.

There torch sums one product after the other, some eight times slower for a prompt. Sums are in float32 either way.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 2**20  # numbers of the weight that are wide at a time: 4 MiB, which a cache holds
ROWS = 10  # fewer rows are done sooner without


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    wide = x.float()
    blocks = torch.split(weight, max(1, BLOCK // weight.shape[1]))
    y = torch.cat([F.linear(wide, block.float()) for block in blocks], -1)
    return (y if bias is None else y + bias).to(x.dtype)


def suits(x: Tensor) -> bool:
    """Whether these rows are better multiplied so."""
    is_half = x.dtype in (torch.bfloat16, torch.float16)
    return is_half and x.device.type == "cpu" and x.shape[:-1].numel() >= ROWS and not _multiplies_halves()


@cache
def _multiplies_halves() -> bool:
    """Whether the processor has instructions for it, which on x86 came after AVX2."""
    return torch.backends.cpu.get_cpu_capability() != "AVX2"
