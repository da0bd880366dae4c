"""add_rms_norm: rows plus what is added to them, and the sum normed by its root mean square."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.add_rms_norm import reference
from triptych.kernels.choice import kernel_for


def add_rms_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None,
    *,
    eps: float,
    offset: float = 0.0,
    cast_first: bool = True,
) -> tuple[Tensor, Tensor]:
    """x and residual [..., D], weight [D] -> their sum normed as `rms_norm` does, and the sum, in the dtype of x.

    Raises KernelError when shapes do not fit together.
    """
    if residual.shape != x.shape or (weight is not None and weight.shape != x.shape[-1:]):
        beside = "" if weight is None else f", weight {tuple(weight.shape)}"
        raise KernelError(f"add_rms_norm: rows {tuple(x.shape)} and {tuple(residual.shape)}{beside}")
    op = kernel_for("add_rms_norm", x, weight, residual) or reference
    found: tuple[Tensor, Tensor] = op.add_rms_norm(x, residual, weight, eps=eps, offset=offset, cast_first=cast_first)
    return found
