"""rms_norm: rows divided by their root mean square, times a weight."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.choice import kernel_for
from triptych.kernels.rms_norm import fused, mirrored, reference


def rms_norm(x: Tensor, weight: Tensor | None, *, eps: float, offset: float = 0.0, cast_first: bool = True) -> Tensor:
    """x [..., D], weight [D] -> [..., D] in the dtype of x; the mean is taken in float32.

    Without a weight it is all ones. `offset` is added to the weight. `cast_first`: the normed rows go back to the dtype
    of x before they meet the weight (Llama), else after it (Gemma); the two differ in the last bit of half precision.
    Raises KernelError when the weight is not as wide as the rows.
    """
    if weight is not None and weight.shape != x.shape[-1:]:
        raise KernelError(f"rms_norm: weight {tuple(weight.shape)} for rows {tuple(x.shape)}")
    if kernel := kernel_for("rms_norm", x, weight):
        found: Tensor = kernel.rms_norm(x, weight, eps=eps, offset=offset, cast_first=cast_first)
        return found
    if weight is None:
        return F.rms_norm(x.float(), x.shape[-1:], eps=eps).to(x.dtype)
    if x.dtype == weight.dtype and mirrored.suits(x, offset=offset, cast_first=cast_first):
        return mirrored.rms_norm(x, weight, eps=eps)
    op = fused.rms_norm if x.dtype == weight.dtype else reference.rms_norm
    return op(x, weight, eps=eps, offset=offset, cast_first=cast_first)
