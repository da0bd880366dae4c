"""Tensors as rows for kernels: where each row begins, without a copy where strides allow it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Rows(NamedTuple):
    """Row r begins at (r // inner) * outer_stride + (r % inner) * inner_stride; its numbers lie side by side."""

    rows: int
    width: int
    inner: int
    outer_stride: int
    inner_stride: int

    @classmethod
    def of(cls, x: Tensor) -> Rows | None:
        """Those of x [D], [T, D], [T, H, D] or what folds into one of these; None if it has none."""
        *shape, width = x.shape
        *strides, step = x.stride()
        if width > 1 and step != 1:
            return None
        sizes = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
        folded: list[tuple[int, int]] = []
        for size, stride in sizes:
            if folded and folded[-1][1] == size * stride:
                folded[-1] = (folded[-1][0] * size, stride)
            else:
                folded.append((size, stride))
        if len(folded) > 2:
            return None
        outer, inner = ([(1, 0)] * (2 - len(folded)) + folded) if len(folded) != 1 else (folded[0], (1, 0))
        return cls(outer[0] * inner[0], width, inner[0], outer[1], inner[1])


def rows_of(x: Tensor) -> tuple[Tensor, Rows]:
    """x, or a copy of it where its rows are too far from each other's places, and its rows."""
    if (rows := Rows.of(x)) is None:
        x = x.contiguous()
        rows = Rows.of(x)
    assert rows is not None
    return x, rows
