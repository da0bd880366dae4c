"""The definition: sum over the chosen e of share_e down_e(activation(gate_e x) * up_e x). Shazeer et al. 2017,
arXiv 1701.06538; as a gated MLP, Jiang et al. 2024, arXiv 2401.04088.

Rows are put in the order of their experts, so that each expert is one product of matrices.
"""
# T rows, K experts of each, N = T K, D width, H width inside an expert, F = 2H, E experts

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from triptych.kernels.gated import gated
from triptych.kernels.linear import linear


def experts(
    x_TD: Tensor,
    gate_up_EFD: Tensor,
    down_EDH: Tensor,
    *,
    chosen_TK: Tensor,
    shares_TK: Tensor,
    activation: Callable[[Tensor], Tensor],
) -> Tensor:
    order_N = chosen_TK.flatten().argsort(stable=True)
    counts: list[int] = torch.bincount(chosen_TK.flatten(), minlength=len(gate_up_EFD)).tolist()
    rows_ND = x_TD[order_N // chosen_TK.shape[1]]
    pieces = [
        linear(gated(linear(rows, gate_up_EFD[number]), activation), down_EDH[number])
        for number, rows in enumerate(torch.split(rows_ND, counts))
        if len(rows)
    ]
    given_ND = torch.empty_like(rows_ND)
    given_ND[order_N] = torch.cat(pieces)
    return (given_ND.view(*chosen_TK.shape, -1) * shares_TK[..., None]).sum(1)
