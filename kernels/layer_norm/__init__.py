"""layer_norm: rows less their mean, divided by their standard deviation, times a weight, plus a bias."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.layer_norm import reference


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None, *, eps: float) -> Tensor:
    """x [..., D], weight and bias [D] -> [..., D] in the dtype of x; mean and variance in float32.

    Raises KernelError when weight or bias is not as wide as the rows.
    """
    if weight.shape != x.shape[-1:] or (bias is not None and bias.shape != weight.shape):
        beside = f", bias {tuple(bias.shape)}" if bias is not None else ""
        raise KernelError(f"layer_norm: weight {tuple(weight.shape)}{beside} for rows {tuple(x.shape)}")
    return reference.layer_norm(x, weight, bias, eps=eps)
