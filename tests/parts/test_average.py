"""The mean of neighbouring rows: that of torch over pictures, edges left out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.errors import SpecError
from triptych.parts.average import Average
from triptych.parts.average_spec import AverageSpec
from triptych.parts.grid import Grid

WIDTH = 5


def average(side: int, *, frames: int = 1) -> Average:
    part = AverageSpec(side=side, frames=frames).build(width=WIDTH, out=9)
    assert isinstance(part, Average)
    return part


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.data())
def test_it_is_the_pool_of_torch_over_each_picture(side: int, data: st.DataObject) -> None:
    sides = st.integers(side, 7)
    grids = data.draw(st.lists(st.builds(Grid, st.integers(1, 2), sides, sides), min_size=1, max_size=3))
    lengths = [grid.rows for grid in grids]
    rows = torch.randn(sum(lengths), WIDTH, generator=torch.Generator().manual_seed(sum(lengths)))
    found, after = average(side)(rows, grids)
    pictures = (x.view(*grid, WIDTH).permute(0, 3, 1, 2) for x, grid in zip(rows.split(lengths), grids, strict=True))
    wanted = [F.avg_pool2d(x, side).permute(0, 2, 3, 1).reshape(-1, WIDTH) for x in pictures]
    torch.testing.assert_close(found, torch.cat(wanted))
    assert [grid.rows for grid in after] == [len(x) for x in wanted]
    assert average(side).width == WIDTH


def test_rows_that_are_not_those_of_the_grids_are_refused() -> None:
    with pytest.raises(SpecError, match="5 rows to average, and their grids have 4; `skip` others"):
        average(2)(torch.zeros(5, WIDTH), [Grid(1, 2, 2)])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.lists(st.integers(4, 9), min_size=1, max_size=3))
def test_of_frames_it_is_the_pool_of_torch_over_each_sound(frames: int, lengths: list[int]) -> None:
    rows = torch.randn(sum(lengths), WIDTH, generator=torch.Generator().manual_seed(sum(lengths)))
    found, after = average(1, frames=frames)(rows, [Grid(length, 1, 1) for length in lengths])
    wanted = [F.avg_pool1d(x.T[None], frames)[0].T for x in rows.split(lengths)]
    torch.testing.assert_close(found, torch.cat(wanted))
    assert after == [Grid(len(x), 1, 1) for x in wanted]


def test_no_rows_are_the_mean_of_nothing() -> None:
    with pytest.raises(SpecError, match="the mean of 3 x 3 rows of 2 x 5"):
        average(3)(torch.zeros(10, WIDTH), [Grid(1, 2, 5)])
    with pytest.raises(SpecError, match="the mean of 2 x 1 x 1 rows of 1 x 1"):
        average(1, frames=2)(torch.zeros(1, WIDTH), [Grid(1, 1, 1)])
