"""Efficient video sampling: of a video, the rows that differ most from those of the same place a moment before.

Bagrov et al. 2025, arXiv 2510.14624.
"""
# N rows of a video, M of them that stay, D width, t moments, n rows of a moment

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from triptych.spec.pruning import rows_kept

BASE, DIGITS = 128, 3  # whole numbers up to 2^21 among the numbers of a row: halves hold those up to 256


def kept_rows(rows_ND: Tensor, *, moments: int, rate: float) -> Tensor:
    """The numbers [M] of the rows that stay, in order; those of the first moment are among them."""
    rows_tnD = rows_ND.reshape(moments, -1, rows_ND.shape[-1]).float()
    change_tn = 1 - cosine_similarity(rows_tnD[1:], rows_tnD[:-1], dim=-1)
    first_n = torch.full_like(rows_tnD[0, :, 0], torch.inf)
    order_N = torch.cat((first_n, change_tn.flatten())).argsort(descending=True, stable=True)
    found_M: Tensor = order_N[: rows_kept(len(rows_ND), moments=moments, rate=rate)].sort().values
    return found_M


def as_digits(numbers_MA: Tensor, dtype: torch.dtype) -> Tensor:
    """Whole numbers [M, A] as numbers [M, A * DIGITS] that any dtype of rows holds exactly."""
    return (numbers_MA[..., None] // _powers(numbers_MA) % BASE).flatten(1).to(dtype)


def of_digits(digits_MW: Tensor) -> Tensor:
    """The whole numbers [M, A] that `as_digits` wrote."""
    digits_MAW = digits_MW.reshape(len(digits_MW), -1, DIGITS).long()
    return torch.sum(digits_MAW * _powers(digits_MAW), -1)


def _powers(beside: Tensor) -> Tensor:
    return torch.tensor([BASE**n for n in range(DIGITS - 1, -1, -1)], device=beside.device)
