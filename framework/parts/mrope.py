"""Positions of three axes (time, height, width) for the tokens of a prompt with images and videos. No torch.

A part of the kind `positions` is called with the number of tokens and the spans of items among them.
"""
# N tokens

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field, FiniteFloat, PositiveInt

from triptych.parts.grid import Grid
from triptych.spec.base import PartSpec

if TYPE_CHECKING:  # a spec is read without it
    import numpy as np
    from numpy.typing import NDArray


class ItemSpan(NamedTuple):
    """Tokens `start` to `stop` of a prompt are rows of an item: its grid, and the seconds between moments of it.

    Of a `pruned` one these are some of its rows, and which is not known yet. `reach` is how many positions it takes up,
    where its grid does not say that: texts stand among its rows.
    """

    start: int
    stop: int
    grid: Grid
    seconds: float | None = None
    pruned: bool = False
    reach: int | None = None


class MRope(PartSpec):
    """Text goes on by one on all axes; an item counts its moments, rows and columns from where the text stands.

    Of its grid `merge` x `merge` places are one token. With `ticks` a second of a video is so many positions; else a
    moment is one. What follows an item goes on from the longer of its sides. Tokens of a pruned one all stand at the
    largest position of the whole.
    """

    merge: PositiveInt = 1
    ticks: FiniteFloat | None = Field(None, gt=0)

    def __call__(self, length: int, spans: Sequence[ItemSpan]) -> tuple[NDArray[np.int64], int]:
        """Positions [N, 3] of `length` tokens, and that of the token after them."""
        import numpy as np

        pieces: list[NDArray[np.int64]] = []
        read, at = 0, 0
        for span in spans:
            pieces += [_text(span.start - read, at), self._item(span) + at + span.start - read]
            at += span.start - read + (span.reach or max(span.grid.h, span.grid.w) // self.merge)
            read = span.stop
        found = np.concatenate([*pieces, _text(length - read, at)])
        return found, int(found.max(initial=-1)) + 1

    def tokens(self, grid: Grid) -> int:
        """How many tokens an item of that grid is."""
        return grid.t * (grid.h // self.merge) * (grid.w // self.merge)

    def places(self, grid: Grid, seconds: float | None = None) -> NDArray[np.int64]:
        """Positions [n, 3] of all tokens of an item, counted from where it begins."""
        import numpy as np

        t, h, w = grid.t, grid.h // self.merge, grid.w // self.merge
        places: NDArray[np.int64] = np.moveaxis(np.mgrid[:t, :h, :w], 0, -1).reshape(-1, 3)
        if self.ticks is not None:
            pace = np.float32(self.ticks * (1.0 if seconds is None else seconds))
            places[:, 0] = (places[:, 0] * pace).astype(np.int64)
        return places

    def _item(self, span: ItemSpan) -> NDArray[np.int64]:
        import numpy as np

        count = span.stop - span.start
        if span.reach is not None:
            return np.full((count, 3), span.reach - 1)
        places = self.places(span.grid, span.seconds)
        assert span.pruned or len(places) == count
        return np.full((count, 3), places.max()) if span.pruned else places


def _text(count: int, start: int) -> NDArray[np.int64]:
    import numpy as np

    return np.repeat(np.arange(start, start + count)[:, None], 3, 1)
