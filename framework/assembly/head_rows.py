"""Rows of a head in memory as the layer of a classifier's labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from triptych.assembly.heads import matrix_of
from triptych.errors import CapabilityError
from triptych.parts.transforms import Rows
from triptych.spec.classifier import TokenLabels

# N rows, H hidden size, V vocabulary
TRIED = 4  # rows that the layer and the head are compared on
CLOSE = {torch.float32: 1e-4, torch.float64: 1e-6}  # of the largest number; what else there is has fewer bits


def row_weights(
    head: nn.Module, labels: TokenLabels, compute_logits: Callable[[Tensor], Tensor | None]
) -> tuple[nn.Parameter, nn.Parameter | None]:
    """The weight [labels, H] and the bias [labels] that rows of a head make, in the head's dtype.

    Raises CapabilityError for a head that is no matrix, and when the numbers are not those of `compute_logits`, which
    takes rows [N, H] to logits [N, V]: a cap on logits is not in the rows.
    """
    matrix, bias = matrix_of(head), getattr(head, "bias", None)
    if matrix is None:
        raise CapabilityError(f"labels are rows of a head, and {type(head).__qualname__} has no matrix `weight`")
    labels.check(len(matrix))
    rows = Rows(of=labels.of, less=labels.less, scale=getattr(head, "scale", 1.0))
    weight, bias = rows(matrix), rows(bias) if isinstance(bias, Tensor) else None
    _check(weight, bias, labels, compute_logits, dtype=matrix.dtype)
    return _parameter(weight, matrix), None if bias is None else _parameter(bias, matrix)


def _check(
    weight: Tensor,
    bias: Tensor | None,
    labels: TokenLabels,
    compute_logits: Callable[[Tensor], Tensor | None],
    *,
    dtype: torch.dtype,
) -> None:
    drawn = torch.randn(TRIED, weight.shape[1], generator=torch.Generator().manual_seed(0))
    x_NH = drawn.to(weight.device, dtype)
    if (logits_NV := compute_logits(x_NH)) is None:  # another rank has them
        return
    wanted = logits_NV[:, list(labels.of)].float()
    if labels.less:
        wanted = wanted - logits_NV[:, list(labels.less)].float()
    found = torch.nn.functional.linear(x_NH.float(), weight, bias)
    if (found - wanted).abs().max() > CLOSE.get(dtype, 5e-2) * wanted.abs().max():
        message = "compute_logits gives other numbers than the rows of its head; labels cannot be made of these alone"
        raise CapabilityError(message, path="classifier_from_token")


def _parameter(values: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(values.to(like.dtype), requires_grad=like.requires_grad)
