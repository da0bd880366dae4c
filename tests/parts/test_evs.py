"""Which rows of a video stay: those of the first moment, and of the others those that differ most from one before."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from triptych.parts.evs import as_digits, kept_rows, of_digits
from triptych.parts.grid import Grid
from triptych.parts.mrope import ItemSpan, MRope
from triptych.spec.pruning import rows_kept

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 7), st.just(5))
VIDEOS = SHAPES.flatmap(lambda shape: arrays(np.float32, shape, elements=st.integers(-9, 9).map(float)))
RATES = st.floats(0, 0.99)


def changes(video: np.ndarray) -> np.ndarray:
    """How much each row [t, n] differs from that of its place a moment before; the first ones, without end."""
    norms = np.maximum(np.linalg.norm(video, axis=-1), 1e-8)
    found = np.full(video.shape[:2], np.inf)
    found[1:] = 1 - (video[1:] * video[:-1]).sum(-1) / (norms[1:] * norms[:-1])
    return found.reshape(-1)


@given(VIDEOS, RATES)
def test_what_stays_differs_as_much_as_anything_left_out(video: np.ndarray, rate: float) -> None:
    moments, per_moment, width = video.shape
    kept = kept_rows(torch.from_numpy(video).view(-1, width), moments=moments, rate=rate).tolist()
    assert kept == sorted({*kept})
    assert kept[:per_moment] == [*range(per_moment)]
    assert len(kept) == max(per_moment, int(moments * per_moment * (1 - rate)))
    found = changes(video)
    left_out = np.delete(found, kept)
    assert not len(left_out) or left_out.max() <= found[kept].min() + 1e-5


def test_of_rows_that_differ_alike_the_earlier_ones_stay() -> None:
    still = torch.ones(12, 4)
    assert kept_rows(still, moments=4, rate=0.5).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_row_that_changes_stays_and_what_stands_still_goes() -> None:
    video = torch.ones(3, 4, 2)
    video[1, 2, 0] = video[2, 0, 1] = -1
    # where it changes back to what it was, it differs too
    assert kept_rows(video.view(12, 2), moments=3, rate=0.4).tolist() == [0, 1, 2, 3, 6, 8, 10]


@given(st.lists(st.lists(st.integers(0, 2**21 - 1), min_size=3, max_size=3), min_size=1, max_size=5))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_whole_numbers_beside_rows_are_exact_in_any_dtype(dtype: torch.dtype, numbers: list[list[int]]) -> None:
    found = as_digits(torch.tensor(numbers), dtype)
    assert found.dtype == dtype
    assert of_digits(found).tolist() == numbers


@given(st.integers(1, 9), st.integers(1, 40), RATES)
def test_the_number_that_stays_is_a_share_and_a_moment_at_the_least(moments: int, per_moment: int, rate: float) -> None:
    rows = moments * per_moment
    found = rows_kept(rows, moments=moments, rate=rate)
    assert per_moment <= found <= rows
    assert found == per_moment or found == int(rows * (1 - rate))


@pytest.mark.parametrize("ticks", [None, 4.0])
@pytest.mark.parametrize("grid", [Grid(5, 4, 6), Grid(3, 2, 20), Grid(3, 20, 2)])
def test_tokens_of_a_pruned_item_stand_at_its_largest_position_and_others_where_they_stood(
    grid: Grid, ticks: float | None
) -> None:
    scheme = MRope(merge=2, ticks=ticks)
    whole, after = scheme(40, [ItemSpan(3, 33, grid, 0.5)])
    pruned, after_pruned = scheme(20, [ItemSpan(3, 13, grid, 0.5, pruned=True)])
    assert (pruned[3:13] == whole[3:33].max()).all()
    assert np.array_equal(pruned[13:], whole[33:])
    assert np.array_equal(pruned[:3], whole[:3])
    assert after == after_pruned
