"""Ways to cut a tower's rows: frames as they stand, and windows, for which the rows are put in another order. No torch.

A part of the kind `cut` is called with the grids of the items and the places of their rows; it never puts the rows of
one frame among those of another.
"""
# N rows of all items, in the order of the tower

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import Field, PositiveInt

from triptych.parts.grid import Grid
from triptych.spec.base import PartSpec

if TYPE_CHECKING:  # a spec is read without it
    import numpy as np
    from numpy.typing import NDArray

Order: TypeAlias = "tuple[NDArray[np.int64], list[int]]"
"""Which row stands at each place [N] of a new order, and how many rows each piece of it has."""


class Windows(PartSpec):
    """Square windows of `side` rows, from left to right and then down; those at an edge are what is left of one."""

    side: Annotated[PositiveInt, Field(le=2**12)]

    def __call__(self, grids: Sequence[Grid], places_N2: NDArray[np.int64]) -> Order:
        """The order in which the rows of a window stand together, and the rows of each window."""
        import numpy as np

        bounds, first = np.cumsum([0, *(grid.rows for grid in grids)]), 0
        windows = []
        for grid, (start, stop) in zip(grids, pairwise(bounds), strict=True):
            windows.append(first + self._of(grid, places_N2[start:stop]))
            first += grid.t * self._along(grid.h) * self._along(grid.w)
        found = np.concatenate(windows)
        return np.argsort(found, kind="stable"), np.bincount(found, minlength=first).tolist()

    def _along(self, rows: int) -> int:
        return -(-rows // self.side)

    def _of(self, grid: Grid, places_N2: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the window that each row of an item is in."""
        import numpy as np

        y, x = (places_N2 // self.side).T
        frame = np.repeat(np.arange(grid.t), grid.h * grid.w)
        found: NDArray[np.int64] = (frame * self._along(grid.h) + y) * self._along(grid.w) + x
        return found


def frames(grids: Sequence[Grid], lengths: Sequence[int]) -> list[int]:
    """How many rows each frame has, of items with `lengths` rows; what stands apart is in the frame of an image."""
    return [length // grid.t for grid, length in zip(grids, lengths, strict=True) for _ in range(grid.t)]
