"""Parameters without values: modules are built on the meta device and filled from a checkpoint."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from triptych.kernels.linear import linear


def parameter(*shape: int) -> nn.Parameter:
    """A parameter that has a shape and no values yet."""
    return nn.Parameter(torch.empty(shape, device="meta"))


class Part(nn.Module):
    """A module that reads its parameters and children as `self._parameters[name]` and `self._modules[name]`.

    `self.name` finds them too, but by nn.Module's own look-up in Python, which takes a twelfth of a small model's step
    of one row. What is looked for there is there: what a part goes without is a plain None.
    """

    _parameters: dict[str, nn.Parameter]  # type: ignore[assignment]
    _modules: dict[str, nn.Module]  # type: ignore[assignment]


class Linear(Part):
    """y = x weight^T + bias; weight [width_out, width_in].

    Of several matrices that are one here, `pieces` are the widths out: what each of a checkpoint's tensors must have.
    """

    def __init__(self, width_in: int, width_out: int, *, bias: bool, pieces: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.pieces = pieces or (width_out,)
        self.weight = parameter(width_out, width_in)
        self.bias = parameter(width_out) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self._parameters["weight"], self._parameters.get("bias"))
