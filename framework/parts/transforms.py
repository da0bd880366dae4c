"""How a tensor on disk becomes the parameter, where that is more than a name. Work on meta tensors too.

A row stands for a matrix and its bias alike; a bias is one-dimensional and stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from triptych.spec.base import PartSpec

if TYPE_CHECKING:
    from torch import Tensor


class Transpose(PartSpec):
    """A matrix stored input by output -> output by input."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.transpose(0, 1) if x.ndim > 1 else x


class Flatten(PartSpec):
    """[O, ...] -> [O, I]: a convolution over patches that do not overlap is a matrix on flat patches."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1) if x.ndim > 1 else x
