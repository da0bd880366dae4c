"""selective_scan: a state for each channel that fades and grows by what its row says (Mamba)."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.attention import Spans
from triptych.kernels.batches import over_batches
from triptych.kernels.selective_scan import reference


def selective_scan(
    x_TC: Tensor, dt_TC: Tensor, A_CN: Tensor, B_TN: Tensor, C_TN: Tensor, *, state_BCN: Tensor, spans: Spans
) -> tuple[Tensor, Tensor]:
    """Rows x [T, C], their steps dt [T, C], B and C [T, N] and rates A [C, N], all below nought -> y [T, C], the state.

    The state [B, C, N] is what each sequence goes on from. Sums are in its dtype, y in that of x.
    Raises KernelError when the shapes do not fit together.
    """
    (T, C), N = x_TC.shape, A_CN.shape[-1]
    fits = dt_TC.shape == (T, C) and A_CN.shape == (C, N) and B_TN.shape == C_TN.shape == (T, N)
    if not fits or state_BCN.shape != (len(spans.new), C, N) or spans.bounds[-1] != T:
        shapes = ", ".join(str(tuple(each.shape)) for each in (x_TC, dt_TC, A_CN, B_TN, C_TN, state_BCN))
        raise KernelError(f"selective_scan: {shapes} for {len(spans.new)} sequences of {spans.bounds[-1]} rows")

    def op(x: Tensor, dt: Tensor, B: Tensor, C: Tensor, *, state: Tensor) -> tuple[Tensor, Tensor]:
        return reference.selective_scan(x, dt, A_CN, B, C, h_BCN=state)

    return over_batches(op, [x_TC, dt_TC, B_TN, C_TN], state_BCN, spans=spans)
