"""How a tower's rows are cut: frames as they stand, windows in an order of their own, and back again."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from triptych.parts.cuts import Windows, frames
from triptych.parts.grid import Grid
from triptych.parts.places import places_of
from triptych.parts.tower_step import TowerStep

SIDES = st.integers(1, 4)


def grids(merge: int) -> st.SearchStrategy[list[Grid]]:
    whole = st.integers(1, 4).map(lambda blocks: blocks * merge)
    return st.lists(st.builds(Grid, st.integers(1, 3), whole, whole), min_size=1, max_size=3)


@given(st.integers(1, 3).flatmap(lambda merge: st.tuples(st.just(merge), grids(merge))))
def test_rows_stand_frame_by_frame_and_block_by_block(given: tuple[int, list[Grid]]) -> None:
    merge, items = given
    for grid in items:
        blocks = [(y, x) for y in range(0, grid.h, merge) for x in range(0, grid.w, merge)]
        frame = [(y + i, x + j) for y, x in blocks for i in range(merge) for j in range(merge)]
        assert [*map(tuple, places_of(grid, merge=merge).tolist())] == frame * grid.t


@given(st.integers(1, 3).flatmap(lambda merge: st.tuples(st.just(merge), grids(merge))), SIDES)
def test_a_window_holds_the_rows_of_one_square_of_one_frame(given: tuple[int, list[Grid]], side: int) -> None:
    merge, items = given
    places = np.concatenate([places_of(grid, merge=merge) for grid in items])
    moments = [(i, t) for i, grid in enumerate(items) for t in range(grid.t) for _ in range(grid.h * grid.w)]
    squares = [(*moment, y // side, x // side) for moment, (y, x) in zip(moments, places.tolist(), strict=True)]
    order, sizes = Windows(side=side)(items, places)
    assert sorted(order.tolist()) == [*range(len(places))]
    pieces = [order[start:stop].tolist() for start, stop in pairwise([0, *accumulate(sizes)])]
    assert [[squares[row] for row in piece] for piece in pieces] == [
        [square] * squares.count(square) for square in sorted(set(squares))
    ]
    assert all(piece == sorted(piece) for piece in pieces), "rows of a window keep their order"


@given(grids(1), SIDES)
def test_rows_come_back_in_the_order_of_the_tower(items: list[Grid], side: int) -> None:
    lengths = [grid.rows for grid in items]
    places = np.concatenate([places_of(grid) for grid in items])
    step = TowerStep(items, lengths, device=torch.device("cpu"), places=places, cuts={"window": Windows(side=side)})
    rows = torch.arange(sum(lengths))
    assert torch.equal(step.back(step.ordered(rows)), rows)
    assert torch.equal(step.positions, step.ordered(torch.from_numpy(places)))
    assert step.cut("frame").new == tuple(grid.h * grid.w for grid in items for _ in range(grid.t))
    assert step.cut(None).new == tuple(lengths)
    assert sum(step.cut("window").new) == sum(lengths)


def test_what_stands_apart_is_in_the_frame_of_its_image() -> None:
    assert frames([Grid(1, 2, 2), Grid(3, 2, 2)], [5, 12]) == [5, 4, 4, 4]
