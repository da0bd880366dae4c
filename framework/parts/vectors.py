"""What a tower begins with whose processor makes vectors of patches: vectors and grids -> rows."""
# N rows, D width, P numbers of a patch

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from triptych.errors import InputError, Problem
from triptych.parts.grid import Grid
from triptych.parts.parameters import Linear
from triptych.parts.places import places_of
from triptych.parts.vectors_spec import VectorsSpec


class Vectors(nn.Module):
    """patch(vectors) + table; what is not there is left out."""

    Spec = VectorsSpec
    takes_grids = True  # beside the items, whose tensors do not show them

    def __init__(self, spec: VectorsSpec, *, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.patch = Linear(spec.width, width, bias=spec.bias)
        self.table: nn.Module | None = spec.table.build(width=width) if spec.table else None

    def forward(self, items: Sequence[Tensor], grids: Sequence[Grid]) -> tuple[Tensor, list[Grid], list[int]]:
        """Vectors [n, P] of each item and its grid -> rows [N, D] of all, the grids, the number of rows of each.

        Raises InputError for other vectors than those of the grids.
        """
        self._check(items, grids)
        x_ND = self.patch(torch.cat(list(items)))
        if self.table is not None:
            rows = {grid: self._of_table(self.table, grid) for grid in dict.fromkeys(grids)}
            x_ND = x_ND + torch.cat([rows[grid] for grid in grids])
        return x_ND, list(grids), [grid.rows for grid in grids]

    def places(self, grid: Grid) -> NDArray[np.int64]:
        """Height and width [n, 2] of each row of an item."""
        return places_of(grid, merge=self.spec.merge)

    def _of_table(self, table: nn.Module, grid: Grid) -> Tensor:
        """The rows of the table, which stand line by line, block by block; each moment of a video has the same."""
        rows_ND: Tensor = table(grid._replace(t=1))
        places = self.places(grid)
        return rows_ND[torch.tensor(places[:, 0] * grid.w + places[:, 1], device=rows_ND.device)]

    def _check(self, items: Sequence[Tensor], grids: Sequence[Grid]) -> None:
        problems = []
        for number, (item, grid) in enumerate(zip(items, grids, strict=True)):
            where, merge = f"[{number}]", self.spec.merge
            if grid.h % merge or grid.w % merge or min(grid) < 1:
                problems.append(Problem(f"a grid of {tuple(grid)} has no whole blocks of {merge} x {merge}", where))
            elif tuple(item.shape) != self.spec.item_shape(grid):
                wanted = list(self.spec.item_shape(grid))
                problems.append(Problem(f"vectors of {list(item.shape)} for a grid of {tuple(grid)}; {wanted}", where))
        if problems:
            raise InputError(problems)
