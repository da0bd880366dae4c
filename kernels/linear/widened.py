"""Half precision on a CPU that multiplies none: a few rows of the weight at a time as float32, which it is fast at.

There torch sums one product after the other, some eight times slower for a prompt. Sums are in float32 either way.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.kernels.linear import turned

BLOCK = 2**20  # numbers of the weight that are wide at a time: 4 MiB, which a cache holds
ROWS = 5  # fewer rows are done sooner without


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    wide_NI = x.flatten(0, -2).float()
    blocks = torch.split(weight, max(1, BLOCK // weight.shape[1]))
    if len(wide_NI) < turned.MANY:
        y_NO = torch.cat([torch.mm(block.float(), wide_NI.t()) for block in blocks]).t()
    else:
        y_NO = torch.cat([F.linear(wide_NI, block.float()) for block in blocks], -1)
    y_NO = (y_NO if bias is None else y_NO + bias).to(x.dtype, memory_format=torch.contiguous_format)
    return y_NO.view(*x.shape[:-1], -1)


def suits(x: Tensor, rows: int) -> bool:
    """Whether so many rows are better multiplied so."""
    is_half = x.dtype in (torch.bfloat16, torch.float16)
    return rows >= ROWS and is_half and x.device.type == "cpu" and turned.is_avx2()
