"""What a mixer asks of the cache; no torch, so that sizes can be told before anything is built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rows:
    """One row a token: vectors of these `widths` (key, value) for each of `heads`; only the last `window` are read."""

    heads: int
    widths: tuple[int, ...]
    window: int | None = None

    @property
    def width(self) -> int:
        """Numbers that one token takes."""
        return self.heads * sum(self.widths)
