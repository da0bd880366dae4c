"""linear: rows times a matrix, plus a bias."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.linear import packed, reference, turned, widened


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., I], weight [O, I], bias [O] -> [..., O]. Raises KernelError when the inner widths differ."""
    width = weight.shape[1]
    if x.shape[-1] != width:
        raise KernelError(f"linear: rows {tuple(x.shape)} for a weight {tuple(weight.shape)}")
    y: Tensor
    if (blocks := packed.blocks_for(x, weight)) is not None:
        return packed.linear(x, blocks, bias)
    rows = x.numel() // width
    if rows > 1 and turned.suits(x, rows):  # one row is most steps, and is not kept waiting
        y = turned.linear(x, weight, bias)
    elif rows > 1 and widened.suits(x, rows):
        y = widened.linear(x, weight, bias)
    else:
        y = reference.linear(x, weight, bias)
    return y
