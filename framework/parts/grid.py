"""How the rows of an item lie: no torch, so that tokens are counted before any tensor is there."""

from __future__ import annotations

from typing import NamedTuple


class Grid(NamedTuple):
    """Rows of an item in time, height and width, the last fastest."""

    t: int
    h: int
    w: int

    @property
    def rows(self) -> int:
        """How many rows that is, without any that stand apart (class tokens)."""
        return self.t * self.h * self.w


def pictures_of(grid: Grid) -> tuple[Grid, ...]:
    """The grid of each picture of an item, in the order of their rows.

    A grid whose pictures are not of one size (slices beside a small picture of the whole) has them as `pictures`.
    """
    own: tuple[Grid, ...] | None = getattr(grid, "pictures", None)
    return own if own is not None else (Grid(1, grid.h, grid.w),) * grid.t
