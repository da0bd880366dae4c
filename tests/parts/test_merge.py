"""Neighbouring rows become one, in the order that each reference has."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers.models.idefics3.configuration_idefics3 import Idefics3Config
from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector
from transformers.models.internvl.modeling_internvl import InternVLModel
from transformers.models.mistral3.configuration_mistral3 import Mistral3Config
from transformers.models.mistral3.modeling_mistral3 import Mistral3PatchMerger

from triptych.errors import SpecError
from triptych.parts.grid import Grid
from triptych.parts.merge import Merge
from triptych.parts.merge_spec import MergeSpec

WIDTH = 6


def merge(**fields: object) -> Merge:
    part = MergeSpec.model_validate(fields).build(width=WIDTH, out=9)
    assert isinstance(part, Merge)
    return part


def drawn(count: int) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(count))


def test_channels_run_fastest_as_in_the_pixel_shuffle_of_internvl_and_idefics3() -> None:
    part, rows = merge(side=2), drawn(72)
    found, grids = part(rows, [Grid(2, 6, 6)])
    assert (grids, part.width) == ([Grid(2, 3, 3)], 4 * WIDTH)
    theirs = InternVLModel.pixel_shuffle(None, rows.view(2, 6, 6, WIDTH), scale_factor=0.5)
    torch.testing.assert_close(found, theirs.reshape(18, -1))
    connector = Idefics3Connector(Idefics3Config())
    torch.testing.assert_close(found, connector.pixel_shuffle(rows.view(2, 36, WIDTH), 2).flatten(0, 1))


def test_places_run_fastest_as_in_the_patch_merger_of_mistral3() -> None:
    config = Mistral3Config(vision_config={"model_type": "pixtral", "hidden_size": WIDTH, "patch_size": 1})
    merger = Mistral3PatchMerger(config).requires_grad_(False)
    sizes = torch.tensor([[4, 6], [2, 2]])
    rows = drawn(28)
    found, grids = merge(side=2, inner="place")(rows, [Grid(1, 4, 6), Grid(1, 2, 2)])
    assert grids == [Grid(1, 2, 3), Grid(1, 1, 1)]
    torch.testing.assert_close(merger.merging_layer(found), merger(rows, sizes))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.builds(Grid, *[st.integers(1, 6)] * 3), min_size=1, max_size=3), st.integers(1, 3))
def test_each_row_has_its_block_line_by_line_and_edges_are_left_out(grids: list[Grid], side: int) -> None:
    lengths = [grid.rows for grid in grids]
    rows = torch.arange(sum(lengths) * WIDTH).view(-1, WIDTH)
    found, after = merge(side=side)(rows, grids)
    wanted = [
        torch.cat([item.view(*grid, WIDTH)[t, y * side + i, x * side + j] for i in range(side) for j in range(side)])
        for item, grid, to in zip(rows.split(lengths), grids, after, strict=True)
        for t in range(to.t)
        for y in range(to.h)
        for x in range(to.w)
    ]
    assert torch.equal(found, torch.stack(wanted) if wanted else found[:0])


def test_rows_that_come_block_by_block_are_joined_as_they_come() -> None:
    rows = drawn(24)
    found, grids = merge(side=2, blocks=True)(rows, [Grid(1, 2, 4), Grid(1, 4, 4)])
    assert torch.equal(found, rows.view(6, -1))
    assert grids == [Grid(1, 1, 2), Grid(1, 2, 2)]


def test_other_rows_than_those_of_the_grids_are_refused() -> None:
    with pytest.raises(SpecError, match="17 rows to merge, and their grids have 16; `skip` others"):
        merge(side=2)(torch.zeros(17, WIDTH), [Grid(1, 4, 4)])
