"""layer_norm: rows less their mean, divided by their standard deviation, times a weight, plus a bias."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.choice import kernel_for
from triptych.kernels.layer_norm import reference


def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, *, eps: float) -> Tensor:
    """x [..., D], weight and bias [D] -> [..., D] in the dtype of x; mean and variance in float32.

    Without a weight it is all ones, without a bias all noughts. Raises KernelError when one that is given is not as
    wide as the rows.
    """
    given = {name: tuple(each.shape) for name, each in (("weight", weight), ("bias", bias)) if each is not None}
    if any(shape != x.shape[-1:] for shape in given.values()):
        beside = ", ".join(f"{name} {shape}" for name, shape in given.items())
        raise KernelError(f"layer_norm: {beside} for rows {tuple(x.shape)}")
    op = kernel_for("layer_norm", x, weight, bias) or reference
    y: Tensor = op.layer_norm(x, weight, bias, eps=eps)
    return y
