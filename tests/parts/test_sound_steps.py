"""Steps from the rows of a sound to those of a language model: stacked frames, and gates."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.errors import SpecError
from triptych.parts.frame_stack_spec import FrameStackSpec
from triptych.parts.grid import Grid
from triptych.parts.projectors_spec import GateStepSpec

WIDTH = 3


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.one_of(st.none(), st.integers(1, 9)), st.lists(st.integers(1, 20), min_size=1, max_size=3))
def test_frames_are_stacked_clip_by_clip_and_noughts_fill_up_the_last(
    frames: int, clip: int | None, lengths: list[int]
) -> None:
    spec, rows = FrameStackSpec(frames=frames, clip=clip), drawn(sum(lengths), WIDTH)
    part = spec.build(width=WIDTH, out=9)
    found, after = part(rows, [Grid(length, 1, 1) for length in lengths])
    wanted = [
        F.pad(piece.flatten(), (0, -piece.numel() % (frames * WIDTH))).view(-1, frames * WIDTH)
        for item in rows.split(lengths)
        for piece in item.split(clip or len(item))
    ]
    assert torch.equal(found, torch.cat(wanted))
    assert sum(grid.rows for grid in after) == len(found)
    assert after == [spec.after(Grid(length, 1, 1)) for length in lengths]
    assert part.width == frames * WIDTH


def test_rows_that_are_not_those_of_the_grids_are_not_stacked() -> None:
    with pytest.raises(SpecError, match="5 rows to stack, and their grids have 4; `skip` others"):
        FrameStackSpec(frames=2).build(width=WIDTH, out=9)(drawn(5, WIDTH), [Grid(4, 1, 1)])


def test_a_gate_is_the_other_half_of_a_row() -> None:
    part, rows = GateStepSpec(activation="silu").build(width=6, out=9), drawn(4, 6)
    found, grids = part(rows, [Grid(4, 1, 1)])
    assert (part.width, grids) == (3, [Grid(4, 1, 1)])
    assert torch.equal(found, rows[:, :3] * F.silu(rows[:, 3:]))
    with pytest.raises(SpecError, match="rows of 5 have no halves, a value and its gate"):
        GateStepSpec().build(width=5, out=9)
