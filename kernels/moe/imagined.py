"""The same where there are no values to choose by: shapes, and the most memory, that of all rows at one expert."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from triptych.kernels.linear import linear
from triptych.kernels.moe.reference import Biases


def moe(
    x_TD: Tensor,
    gate_up_EFD: Tensor,
    down_EDH: Tensor,
    *,
    chosen_TK: Tensor,
    shares_TK: Tensor,
    inner: Callable[[Tensor], Tensor],
    biases: Biases | None,
    shares_of_inputs: bool,  # noqa: ARG001  (the shapes are the same)
) -> Tensor:
    rows_ND = x_TD.repeat_interleave(chosen_TK.shape[1], 0)
    up_bias, down_bias = (biases[0][0], biases[1][0]) if biases else (None, None)
    given_ND = linear(inner(linear(rows_ND, gate_up_EFD[0], up_bias)), down_EDH[0], down_bias)
    return (given_ND.view(*chosen_TK.shape, -1) * shares_TK[..., None]).sum(1)
