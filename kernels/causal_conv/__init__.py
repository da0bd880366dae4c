"""causal_conv: each channel of a row is a weighted sum of it and of the few rows before."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.attention import Spans
from triptych.kernels.batches import over_batches
from triptych.kernels.causal_conv import reference


def causal_conv(
    x_TC: Tensor, weight_CN: Tensor, bias_C: Tensor | None, *, past_BCN: Tensor, spans: Spans
) -> tuple[Tensor, Tensor]:
    """x [T, C], weight [C, N], the N - 1 rows before each sequence [B, C, N - 1] -> [T, C] and those to go on from.

    Raises KernelError when the shapes do not fit together.
    """
    (T, C), (B, N) = x_TC.shape, (len(spans.new), weight_CN.shape[-1])
    if weight_CN.shape != (C, N) or past_BCN.shape != (B, C, N - 1) or spans.bounds[-1] != T:
        shapes = f"weight {tuple(weight_CN.shape)} and past {tuple(past_BCN.shape)} for rows {tuple(x_TC.shape)}"
        raise KernelError(f"causal_conv: {shapes} of {B} sequences")

    def op(x_BLC: Tensor, *, state: Tensor) -> tuple[Tensor, Tensor]:
        return reference.causal_conv(x_BLC, weight_CN, bias_C, past_BCN=state)

    return over_batches(op, [x_TC], past_BCN, spans=spans)
