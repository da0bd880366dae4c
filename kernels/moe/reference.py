"""The definition: sum over the chosen e of share_e down_e(inner(gate_up_e x)). Shazeer et al. 2017, arXiv 1701.06538;
as a gated MLP, Jiang et al. 2024, arXiv 2401.04088.

Rows are put in the order of their experts, so that each expert is one product of matrices.
"""
# T rows, K experts of each, N = T K, D width, H width inside an expert, F = 2H or H, E experts

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from triptych.kernels.linear import linear

Biases = tuple[Tensor, Tensor]


def moe(
    x_TD: Tensor,
    gate_up_EFD: Tensor,
    down_EDH: Tensor,
    *,
    chosen_TK: Tensor,
    shares_TK: Tensor,
    inner: Callable[[Tensor], Tensor],
    biases: Biases | None,
    shares_of_inputs: bool,
) -> Tensor:
    order_N = chosen_TK.flatten().argsort(stable=True)
    counts: list[int] = torch.bincount(chosen_TK.flatten(), minlength=len(gate_up_EFD)).tolist()
    rows_ND = x_TD[order_N // chosen_TK.shape[1]]
    if shares_of_inputs:
        rows_ND = rows_ND * shares_TK.flatten()[order_N, None]
    up_bias, down_bias = biases or ((None,) * len(counts),) * 2
    pieces = [
        linear(inner(linear(rows, gate_up_EFD[e], up_bias[e])), down_EDH[e], down_bias[e])
        if e < len(gate_up_EFD)
        else rows
        for e, rows in enumerate(torch.split(rows_ND, counts))
        if len(rows)
    ]
    given_ND = torch.empty_like(rows_ND)
    if pieces:
        given_ND[order_N] = torch.cat(pieces)
    given_TKD = given_ND.view(*chosen_TK.shape, x_TD.shape[1])
    return given_TKD.sum(1) if shares_of_inputs else (given_TKD * shares_TK[..., None]).sum(1)
