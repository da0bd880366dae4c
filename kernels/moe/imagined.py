"""The same where there are no values to choose by: shapes, and the most memory, that of all rows at one expert."""

from __future__ import annotations

from collections.abc import Callable

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
    rows_ND = x_TD.repeat_interleave(chosen_TK.shape[1], 0)
    given_ND = linear(gated(linear(rows_ND, gate_up_EFD[0]), activation), down_EDH[0])
    return (given_ND.view(*chosen_TK.shape, -1) * shares_TK[..., None]).sum(1)
