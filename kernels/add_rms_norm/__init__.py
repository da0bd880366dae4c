"""add_rms_norm: rows plus what is added to them, and the sum normed by its root mean square."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.choice import kernel_for
from triptych.kernels.rms_norm import rms_norm


def add_rms_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None,
    *,
    eps: float,
    offset: float = 0.0,
    cast_first: bool = True,
) -> tuple[Tensor, Tensor]:
    """x and residual [..., D], weight [D] -> their sum normed as `rms_norm` does, and the sum, in the dtype of that.

    In plain torch it is `rms_norm` of the sum, to the bit. Raises KernelError when shapes do not fit together.
    """
    if residual.shape != x.shape or (weight is not None and weight.shape != x.shape[-1:]):
        beside = "" if weight is None else f", weight {tuple(weight.shape)}"
        raise KernelError(f"add_rms_norm: rows {tuple(x.shape)} and {tuple(residual.shape)}{beside}")
    if kernel := kernel_for("add_rms_norm", x, weight, residual):
        options = {"eps": eps, "offset": offset, "cast_first": cast_first}
        found: tuple[Tensor, Tensor] = kernel.add_rms_norm(x, residual, weight, **options)
        return found
    total = x + residual
    return rms_norm(total, weight, eps=eps, offset=offset, cast_first=cast_first), total
