"""rotary: pairs of channels turned by an angle that depends on the row's position."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.choice import kernel_for
from triptych.kernels.rotary import reference


def rotary(x_THK: Tensor, cos_T1R: Tensor, sin_T1R: Tensor, *, interleaved: bool = False) -> Tensor:
    """x [T, H, K] with its first R channels turned -> [T, H, K]; the others stay as they are.

    A pair is channel i and i + R/2, or 2i and 2i + 1 when `interleaved`. The tables hold an entry for each of the R
    channels: the cosine of its pair's angle, and the sine, negative for the first of the two.
    Raises KernelError when the tables are wider than a head, or not of the same rows.
    """
    width = cos_T1R.shape[-1]
    if width > x_THK.shape[-1] or cos_T1R.shape != sin_T1R.shape or cos_T1R.shape[:2] != (x_THK.shape[0], 1):
        tables = f"tables {tuple(cos_T1R.shape)} and {tuple(sin_T1R.shape)}"
        raise KernelError(f"rotary: {tables} for heads {tuple(x_THK.shape)}")
    op = kernel_for("rotary", x_THK, cos_T1R, sin_T1R) or reference
    y_THK: Tensor = op.rotary(x_THK, cos_T1R, sin_T1R, interleaved=interleaved)
    return y_THK
