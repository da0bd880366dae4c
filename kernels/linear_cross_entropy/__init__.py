"""linear_cross_entropy: the mean cross-entropy of rows times a matrix, as a model learns it, without all its logits."""

from __future__ import annotations

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.choice import kernel_for
from triptych.kernels.linear_cross_entropy import reference


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    ignore: int = -100,
    scale: float = 1.0,
    softcap: float | None = None,
    rows: int | None = None,
) -> Tensor:
    """x [T, D], weight [V, D], bias [V], targets [T] -> the mean over targets that are not `ignore`, in float32.

    Of the options `cross_entropy` says the same. A kernel has logits of so many `rows` at a time, about an eighth of
    them unless told; gradients are there when the loss is. Raises KernelError when shapes do not fit together.
    """
    fits = x.dim() == 2 and weight.shape[1:] == x.shape[1:] and targets.shape == x.shape[:1]
    if not fits or (bias is not None and bias.shape != weight.shape[:1]):
        beside = "" if bias is None else f", bias {tuple(bias.shape)}"
        shapes = f"{tuple(x.shape)} for a weight {tuple(weight.shape)}{beside}"
        raise KernelError(f"linear_cross_entropy: rows {shapes} and targets {tuple(targets.shape)}")
    op = kernel_for("linear_cross_entropy", x, weight, bias) or reference
    options = {"bias": bias, "ignore": ignore, "scale": scale, "softcap": softcap, "rows": rows}
    loss: Tensor = op.linear_cross_entropy(x, weight, targets, **options)
    return loss
