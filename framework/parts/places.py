"""Where the rows of an item stand in its grid. No torch: nothing here waits for a device."""
# N rows of an item

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from triptych.parts.grid import Grid


def places_of(grid: Grid, *, merge: int = 1) -> NDArray[np.int64]:
    """Height and width [N, 2] of each row of a grid, frame by frame, whose rows stand line by line.

    With `merge` they stand block by block: `merge` x `merge` neighbours one after the other, blocks line by line.
    """
    lines: NDArray[np.int64] = np.moveaxis(np.mgrid[: grid.h, : grid.w], 0, -1)
    blocks = lines.reshape(grid.h // merge, merge, grid.w // merge, merge, 2).swapaxes(1, 2)
    return np.tile(blocks.reshape(-1, 2), (grid.t, 1))
