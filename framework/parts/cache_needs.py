"""What a mixer asks of the cache; no torch, so that sizes can be told before anything is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod


@dataclass(frozen=True)
class Rows:
    """One row a token: vectors of these `widths` (key, value; or one that is both) for each of `heads`.

    Only the last `window` are read, or those of the token's own `chunk` rows; the others may be forgotten.
    """

    heads: int
    widths: tuple[int, ...]
    window: int | None = None
    chunk: int | None = None

    @property
    def width(self) -> int:
        """Numbers that one token takes."""
        return self.heads * sum(self.widths)


@dataclass(frozen=True)
class State:
    """Tensors of these `shapes` a sequence, however long it is: what a recurrent mixer goes on from.

    The last `sums` of them are sums over all rows so far, which are kept in float32 at least.
    """

    shapes: tuple[tuple[int, ...], ...]
    sums: int = field(default=0, kw_only=True)

    @property
    def size(self) -> int:
        """Numbers that one sequence takes."""
        return sum(map(prod, self.shapes))

    @property
    def sum_size(self) -> int:
        """How many of them are in sums."""
        return sum(map(prod, self.shapes[len(self.shapes) - self.sums :]))


@dataclass(frozen=True)
class Cross(State):
    """Rows of what stands beside a sequence, written once: `shapes` [heads, most rows, width] of keys and of values.

    `source` names what they are rows of.
    """

    source: str


CacheNeed = Rows | State


def in_loop(key: str, loop: int) -> str:
    """The key that a mixer remembers under when its layer is gone through for the `loop`-th time after the first."""
    return f"{key} again {loop}" if loop else key
