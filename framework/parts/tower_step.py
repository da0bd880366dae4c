"""The step of a tower: its sequences are items, its rows have places in the grids of these, and are cut in frames."""
# N rows of all items

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triptych.kernels.attention import Spans
from triptych.parts.cuts import Order, frames
from triptych.parts.grid import Grid
from triptych.parts.step import Step
from triptych.spec.cuts import FRAME


class Cut(Protocol):
    """A part of the kind `cut`."""

    def __call__(self, grids: Sequence[Grid], places_N2: NDArray[np.int64]) -> Order: ...


class TowerStep(Step):
    """A step without a cache, whose rows may stand in another order than the tower's.

    `lengths` are rows of each item; `places` height and width of each row [N, 2], where the tower knows them. One of
    the `cuts` at the most may put rows in another order.
    """

    def __init__(
        self,
        grids: Sequence[Grid],
        lengths: Sequence[int],
        *,
        device: torch.device,
        places: NDArray[np.int64] | None,
        cuts: Mapping[str, Cut],
    ) -> None:
        spans, self._order, self._back = {FRAME: Spans.of(frames(grids, lengths))}, None, None
        for name, cut in cuts.items():
            assert places is not None
            order, sizes = cut(grids, places)
            places, spans[name] = places[order], Spans.of(sizes)
            self._order, self._back = (torch.tensor(rows, device=device) for rows in (order, np.argsort(order)))
        positions = None if places is None else torch.tensor(places, device=device)
        super().__init__(Spans.of(lengths), device=device, cuts=spans, positions=positions)

    def ordered(self, rows: Tensor) -> Tensor:
        """Rows [N, ...] of the tower in the order of this step."""
        return rows if self._order is None else rows[self._order]

    def back(self, rows: Tensor) -> Tensor:
        """Rows [N, ...] of this step in the order of the tower."""
        return rows if self._back is None else rows[self._back]
