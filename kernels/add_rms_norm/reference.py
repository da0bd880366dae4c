"""The definition: rms_norm(x + residual), and x + residual."""

from __future__ import annotations

from torch import Tensor

from triptych.kernels.rms_norm import reference


def add_rms_norm(
    x: Tensor, residual: Tensor, weight: Tensor | None, *, eps: float, offset: float, cast_first: bool
) -> tuple[Tensor, Tensor]:
    total = x + residual
    return reference.rms_norm(total, weight, eps=eps, offset=offset, cast_first=cast_first), total
