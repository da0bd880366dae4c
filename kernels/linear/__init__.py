"""linear: rows times a matrix, plus a bias."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.linear import reference, widened


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., I], weight [O, I], bias [O] -> [..., O]. Raises KernelError when the inner widths differ."""
    if x.shape[-1] != weight.shape[-1]:
        raise KernelError(f"linear: rows {tuple(x.shape)} for a weight {tuple(weight.shape)}")
    op = widened.linear if widened.suits(x) else reference.linear
    return op(x, weight, bias)
