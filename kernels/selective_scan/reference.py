"""The definition: h_t = exp(dt_t A) h_(t-1) + dt_t x_t B_t and y_t = C_t h_t. Gu and Dao 2023, arXiv 2312.00752."""

# B sequences of L rows, C channels, N numbers of state a channel

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 64  # made ready together: what the rows bring is L x C x N numbers


def selective_scan(
    x_BLC: Tensor, dt_BLC: Tensor, A_CN: Tensor, B_BLN: Tensor, C_BLN: Tensor, *, h_BCN: Tensor
) -> tuple[Tensor, Tensor]:
    """Rows [B, L, C] from the state `h` on -> [B, L, C], and the state after them: one op a row."""
    dtype, found = h_BCN.dtype, list[Tensor]()
    x, dt, A, B, C = (each.to(dtype) for each in (x_BLC, dt_BLC, A_CN, B_BLN, C_BLN))
    for start in range(0, x.shape[1], ROWS):
        part = slice(start, start + ROWS)
        kept_BLCN = (dt[:, part, :, None] * A).exp()
        h_BLCN = (dt[:, part] * x[:, part])[..., None] * B[:, part, None]
        for row in range(h_BLCN.shape[1]):
            h_BCN = h_BLCN[:, row].addcmul_(kept_BLCN[:, row], h_BCN)
        found.append((h_BLCN @ C[:, part, :, None])[..., 0])
    return torch.cat(found, 1).to(x_BLC.dtype), h_BCN
