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
