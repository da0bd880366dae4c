"""Items -> rows: a tower, and the projector that makes them rows of a language model."""

# N rows of a tower

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from triptych.assembly.stack import Stack, own
from triptych.errors import InputError, Problem
from triptych.parts.grid import Grid
from triptych.parts.tower_step import TowerStep
from triptych.spec.stack import StackPlan
from triptych.spec.steps import Steps

Pieces = Callable[[Tensor], Sequence[Tensor]]


class Tower(Stack):
    """Items -> rows of each, by a stack whose sequences are the items.

    An item of several pieces (tiles of an image, frames of a video, clips of a sound) is as many sequences. Rows are
    also cut into frames, and as the plan says, for attention that stays within a cut. Those of layers that are tapped
    stand beside those of the end, which are `end_width` wide. Where the plan says how they are pooled, those of an item
    are fewer at last.
    """

    def __init__(self, plan: StackPlan) -> None:
        super().__init__(plan)
        self.skip = plan.output.skip
        self.tapped = plan.tapped
        self.end_width = plan.width * len(self.taken or (0,))
        self.out_width = self.end_width + plan.width * len(self.tapped)
        self.cuts: dict[str, Any] = dict(plan.cuts)
        self.pool = Projector(plan.pool, width=self.out_width, out=plan.width, key="pool") if plan.pool else None
        if self.pool is not None:
            self.end_width = self.out_width = self.pool.out_width
        else:
            self.skipped.append("pool")  # a spec may say where it is on disk, for who asks for it

    @property
    def cut_off(self) -> list[str]:
        """What of the stack itself is not built: nothing that is handed out comes from it."""
        return [path for path in self.skipped if path != "pool"]

    def forward(self, items: Sequence[Tensor], grids: Sequence[Grid] | None = None) -> tuple[list[Tensor], list[Grid]]:
        """Rows [n_i, out_width] of each item, in order, and the grid that they come from.

        `grids` are told where the tensors of items do not show them, as vectors of patches; one with `pictures` is as
        many pieces. The rows of an item of several pieces are one piece's after the other's. Raises InputError for
        items whose grids are not told, or that have other vectors.
        """
        rows, found = self._rows(items, grids)
        if self.pool is None:
            return rows, found
        pooled, after = self.pool(torch.cat(rows), found)
        return [*pooled.split([grid.t * grid.h * grid.w for grid in after])], after

    def _rows(self, items: Sequence[Tensor], grids: Sequence[Grid] | None) -> tuple[list[Tensor], list[Grid]]:
        if getattr(self.embed, "takes_grids", False):
            if grids is None or len(grids) != len(items):
                raise InputError(f"this tower takes the grid of each item beside its tensor; {len(items)} are needed")
            return self._told(items, grids)
        pieces = [self._pieces(item) for item in items]
        rows, found = self._encoded([*chain.from_iterable(pieces)])
        bounds = pairwise((0, *accumulate(map(len, pieces))))
        joined = [found[a]._replace(t=sum(grid.t for grid in found[a:b])) for a, b in bounds]
        return _joined(rows, pieces), joined

    def _pieces(self, item: Tensor) -> Sequence[Tensor]:
        """The sequences of an item, as the embedding cuts it; itself where that cuts nothing."""
        pieces: Pieces | None = getattr(self.embed, "sequences", None)
        return [item] if pieces is None else pieces(item)

    def _told(self, items: Sequence[Tensor], grids: Sequence[Grid]) -> tuple[list[Tensor], list[Grid]]:
        """Vectors [n, P] of items: of one picture, of several moments of it, or of pictures that differ in size."""
        own: list[tuple[Grid, ...]] = [getattr(grid, "pictures", (grid,)) for grid in grids]
        if all(len(pictures) == 1 for pictures in own):
            return self._encoded(items, [pictures[0] for pictures in own])[0], list(grids)
        _check_rows(items, own)
        cut = [item.split_with_sizes([p.rows for p in each]) for item, each in zip(items, own, strict=True)]
        rows, _ = self._encoded([*chain.from_iterable(cut)], [*chain.from_iterable(own)])
        return _joined(rows, own), list(grids)

    def _encoded(self, items: Sequence[Tensor], *told: Sequence[Grid]) -> tuple[list[Tensor], list[Grid]]:
        x_ND, grids, lengths = self.embed(items, *told)
        step = TowerStep(grids, lengths, device=x_ND.device, places=self._places(grids), cuts=self.cuts)
        x_ND = step.ordered(x_ND)
        wanted = {*(self.taken or ()), *self.tapped}
        taken = {0: x_ND}
        for number, layer in enumerate(self.layers, 1):
            x_ND = layer(x_ND, step)
            if number in wanted:
                taken[number] = x_ND
        x_ND = torch.cat([taken[n] for n in self.taken], -1) if self.taken else self.ended(x_ND)
        x_ND = step.back(torch.cat([x_ND, *(taken[n] for n in self.tapped)], -1))
        return [rows[self.skip :] for rows in torch.split(x_ND, lengths)], grids

    def _places(self, grids: Sequence[Grid]) -> NDArray[np.int64] | None:
        """Height and width [N, 2] of each row, where the embedding tells them."""
        places: Callable[[Grid], NDArray[np.int64]] | None = getattr(self.embed, "places", None)
        return None if places is None else np.concatenate([places(grid) for grid in grids])


def _joined(rows: Sequence[Tensor], pieces: Iterable[Sized]) -> list[Tensor]:
    """The rows of each piece -> those of each item."""
    bounds = pairwise((0, *accumulate(map(len, pieces))))
    return [rows[a] if b - a == 1 else torch.cat([*rows[a:b]]) for a, b in bounds]


def _check_rows(items: Sequence[Tensor], pictures: Sequence[Sequence[Grid]]) -> None:
    """Raise InputError for items that have other vectors than their pictures have places."""
    wanted = [sum(grid.rows for grid in each) for each in pictures]
    if problems := [
        Problem(f"has {len(item)} vectors, and its {len(each)} pictures have {count} places", f"[{number}]")
        for number, (item, each, count) in enumerate(zip(items, pictures, wanted, strict=True))
        if len(item) != count
    ]:
        raise InputError(problems)


class Projector(nn.Module):
    """An ordered program of steps, norms among them: rows and grids -> rows and grids."""

    def __init__(self, steps: Steps, *, width: int, out: int, key: str) -> None:
        super().__init__()
        self.kinds = {name: kind for name, kind, _ in steps}
        for name, kind, spec in steps:
            step = spec.build(width=width) if kind == "norm" else spec.build(width=width, out=out)
            width = width if kind == "norm" else step.width
            own(self, name, step, where=key)
        self.out_width = width

    def forward(self, x_ND: Tensor, grids: list[Grid]) -> tuple[Tensor, list[Grid]]:
        for name, kind in self.kinds.items():
            step = self.get_submodule(name)
            x_ND, grids = (step(x_ND), grids) if kind == "norm" else step(x_ND, grids)
        return x_ND, grids


class DeepProjector(Projector):
    """A projector of the rows of a tower's end, and `deep`: one for those of each layer that is tapped.

    What these give stands beside what the end's gives. Meng et al. 2024, DeepStack, arXiv 2406.04334.
    """

    deep: nn.ModuleList

    def __init__(self, steps: Steps, tower: Tower, *, deep: Steps, out: int, key: str) -> None:
        super().__init__(steps, width=tower.end_width, out=out, key=key)
        self.widths = [tower.end_width, *(tower.width for _ in tower.tapped)]
        copies = [Projector(deep, width=tower.width, out=out, key=f"{key}.deep.{n}") for n in range(len(tower.tapped))]
        own(self, "deep", nn.ModuleList(copies), where=key)
        self.out_width += sum(each.out_width for each in copies)

    def forward(self, x_ND: Tensor, grids: list[Grid]) -> tuple[Tensor, list[Grid]]:
        end_ND, *tapped_ND = torch.split(x_ND, self.widths, -1)
        rows, after = super().forward(end_ND, grids)
        deep = [each(x, grids)[0] for each, x in zip(self.deep, tapped_ND, strict=True)]
        return torch.cat([rows, *deep], -1), after
