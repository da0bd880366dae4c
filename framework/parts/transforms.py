"""How a tensor on disk becomes the parameter, where that is more than a name. Work on meta tensors too.

A row stands for a matrix and its bias alike; a bias is one-dimensional and stays as it is.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt

from triptych.spec.base import PartSpec

if TYPE_CHECKING:
    from torch import Tensor


class Transpose(PartSpec):
    """A matrix stored input by output -> output by input."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.transpose(0, 1) if x.ndim > 1 else x


class TransposeEach(PartSpec):
    """Matrices [..., I, O] stored input by output -> [..., O, I]."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.transpose(-2, -1)


class Deinterleave(PartSpec):
    """Rows [E, O, ...] of two matrices in turn (gate, up, gate, up) -> all of the one, then all of the other."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), -1, 2, *x.shape[2:]).transpose(1, 2).flatten(1, 2)


class InputsLast(PartSpec):
    """Matrices [..., O, I] of so many `inputs`; where these stand before the outputs, they are turned.

    Of square ones nothing tells, and they stay as they are.
    """

    inputs: PositiveInt

    def __call__(self, x: Tensor) -> Tensor:
        return x.transpose(-2, -1) if x.shape[-1] != self.inputs else x


class Stack(PartSpec):
    """[E O, I], `count` matrices one below the other -> [E, O, I], or [E, I, O] where they are turned (`turn`)."""

    count: PositiveInt
    turn: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        y = x.view(self.count, -1, x.shape[-1])
        return y.transpose(1, 2) if self.turn else y


class Shared(PartSpec):
    """The tensor as it is; another parameter, or another piece of the same, may take it too."""

    shares: ClassVar[bool] = True

    def __call__(self, x: Tensor) -> Tensor:
        return x


class Flatten(PartSpec):
    """[O, ...] -> [O, I]: a convolution over patches that do not overlap is a matrix on flat patches."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1) if x.ndim > 1 else x


class Squeeze(PartSpec):
    """[1, ...] -> [...]: what a checkpoint keeps ready for a batch."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.squeeze(0)


class ByHead(PartSpec):
    """Rows laid out head by head, each of `heads` holding its `parts` in order -> all of one part, then of the next."""

    heads: PositiveInt
    parts: tuple[PositiveInt, ...] = Field(min_length=1)

    def __call__(self, x: Tensor) -> Tensor:
        starts = accumulate((0, *self.parts))
        parts = [range(start, start + part) for start, part in zip(starts, self.parts, strict=False)]
        return x[[head * sum(self.parts) + row for part in parts for head in range(self.heads) for row in part]]


class HeadPart(ByHead):
    """Rows laid out as for `by_head` -> those of the part with the number `take`; other rows may take the others."""

    shares: ClassVar[bool] = True
    take: NonNegativeInt

    def __call__(self, x: Tensor) -> Tensor:
        sizes = [self.heads * part for part in self.parts]
        return super().__call__(x).split_with_sizes(sizes)[self.take]


class UnitRows(PartSpec):
    """Each row over its length, which is not less than `eps`."""

    eps: FiniteFloat = Field(1e-12, gt=0)

    def __call__(self, x: Tensor) -> Tensor:
        unit: Tensor = x / x.norm(dim=-1, keepdim=True).clamp(min=self.eps)
        return unit


class UnitColumns(PartSpec):
    """Every column over its length, where `apply` says so: a head whose matrix is normed once it is trained."""

    apply: bool = True

    def __call__(self, x: Tensor) -> Tensor:
        return x / x.norm(dim=0).clamp(min=1e-7) if self.apply else x


class Mxfp4(PartSpec):
    """Bytes [E, ..., G, 16] of two numbers each, the lower first, and scales [E, ..., G] -> [E, ..., 32 G] in bfloat16.

    OCP Microscaling Formats 1.0, section 5.3: numbers are E2M1, a scale E8M0, a power of two. Nothing is rounded.
    """

    packed: ClassVar[bool] = True

    def __call__(self, x: Tensor, scales: Tensor) -> Tensor:
        half = x.new_tensor([0, 1, 2, 3, 4, 6, 8, 12]).bfloat16() / 2
        numbers = half.repeat(2)
        numbers[8:].neg_()
        pairs = numbers.new_empty(256, 2)  # of each byte
        pairs[:, 0], pairs[:, 1] = numbers.repeat(16), numbers.repeat_interleave(16)
        found = numbers.new_empty((*x.shape[:-2], 2 * x.shape[-2] * x.shape[-1]))
        for one, bytes_of, scale in zip(found, x, scales, strict=True):  # the memory of one expert
            factors = (scale.float() - 127).exp2().bfloat16()
            one.copy_((pairs[bytes_of.int()].flatten(-2) * factors[..., None]).flatten(-2))
        return found


class Rows(PartSpec):
    """The rows `of` a matrix, in that order and in float32, times `scale`; less the rows `less`, one for each.

    Another parameter may take the matrix as a whole.
    """

    shares: ClassVar[bool] = True
    of: tuple[NonNegativeInt, ...] = Field(min_length=1)
    less: tuple[NonNegativeInt, ...] = ()
    scale: FiniteFloat = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        found = x[list(self.of)].float()
        return self.scale * (found - x[list(self.less)].float() if self.less else found)
