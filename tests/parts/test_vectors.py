"""Vectors of patches, the rows of a table put block by block, and positions of several axes."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from transformers.vision_utils import get_vision_interpolation_indices_and_weights

from tests.parts.drawing import filled
from triptych.parts.grid import Grid
from triptych.parts.mrope import ItemSpan, MRope
from triptych.parts.tables_spec import LearnedSpec
from triptych.parts.vectors import Vectors
from triptych.parts.vectors_spec import VectorsSpec

GRIDS = [Grid(1, 4, 6), Grid(2, 2, 8), Grid(1, 5 * 2, 2), Grid(1, 6, 6)]


def test_a_table_whose_corners_meet_is_added_block_by_block_and_to_every_moment() -> None:
    table = LearnedSpec(side=5, resample="bilinear", corners=True)
    part: Vectors = filled(VectorsSpec(size=2, frames=2, merge=2, bias=True, table=table), width=8)
    items = [torch.randn(grid.rows, 24, generator=torch.Generator().manual_seed(grid.rows)) for grid in GRIDS]
    rows, grids, lengths = part(items, GRIDS)
    assert (grids, lengths) == (GRIDS, [grid.rows for grid in GRIDS])
    places, weights = get_vision_interpolation_indices_and_weights(
        torch.tensor(GRIDS), 5, mode="bilinear", align_corners=True, spatial_merge_size=2
    )
    assert isinstance(part.table, nn.Module)
    added = (part.table.get_parameter("weight")[places] * weights[..., None]).sum(1)
    torch.testing.assert_close(rows, part.patch(torch.cat(items)) + added, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("given", [{"corners": True}, {"corners": True, "resample": "bicubic", "antialias": True}])
def test_corners_say_how_to_resample_without_antialias(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="corners says how to resample without antialias"):
        LearnedSpec.model_validate({"side": 4, **given})


def test_text_after_an_item_goes_on_from_its_longer_side_and_after_the_prompt_from_the_furthest() -> None:
    spans = [ItemSpan(2, 8, Grid(3, 2, 4))]  # 3 moments of 1 x 2 tokens, behind two words
    found, after = MRope(merge=2)(9, spans)
    assert found.tolist() == [[0] * 3, [1] * 3, *([2 + t, 2, 2 + x] for t in range(3) for x in range(2)), [4] * 3]
    assert after == 5
    slow, later = MRope(merge=2, ticks=4.0)(9, [ItemSpan(2, 8, Grid(3, 2, 4), seconds=0.5)])
    assert [time for time, _, _ in slow.tolist()] == [0, 1, 2, 2, 4, 4, 6, 6, 4]
    assert later == 7, "past the last moment, though the text before it is not"


def test_a_prompt_without_items_counts_on_all_axes() -> None:
    found, after = MRope()(3, [])
    assert (found.tolist(), after) == ([[0] * 3, [1] * 3, [2] * 3], 3)
    assert MRope()(0, [])[1] == 0
