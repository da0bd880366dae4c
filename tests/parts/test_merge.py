"""Neighbouring rows become one, in the order that each reference has."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
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
@given(
    st.lists(st.builds(Grid, st.integers(1, 3), *[st.integers(3, 6)] * 2), min_size=1, max_size=3),
    st.tuples(*[st.integers(1, 3)] * 2),
)
def test_each_row_has_its_block_line_by_line_and_edges_are_left_out(grids: list[Grid], side: tuple[int, int]) -> None:
    lengths, (high, wide) = [grid.rows for grid in grids], side
    rows = torch.arange(sum(lengths) * WIDTH).view(-1, WIDTH)
    found, after = merge(side=side)(rows, grids)
    wanted = [
        torch.cat([item.view(*grid, WIDTH)[t, y * high + i, x * wide + j] for i in range(high) for j in range(wide)])
        for item, grid, to in zip(rows.split(lengths), grids, after, strict=True)
        for t in range(to.t)
        for y in range(to.h)
        for x in range(to.w)
    ]
    assert torch.equal(found, torch.stack(wanted))


@pytest.mark.parametrize("side", [(1, 2), (3, 2), (2, 1)])
def test_blocks_that_are_not_square_are_those_that_torch_unfolds(side: tuple[int, int]) -> None:
    part, rows = merge(side=side, inner="place"), drawn(6 * 8)
    found, grids = part(rows, [Grid(1, 6, 8)])
    assert (grids, part.width) == ([Grid(1, 6 // side[0], 8 // side[1])], side[0] * side[1] * WIDTH)
    picture = rows.T.reshape(1, WIDTH, 6, 8)
    torch.testing.assert_close(found, F.unfold(picture, side, stride=side)[0].T)
    channels, _ = merge(side=side)(rows, [Grid(1, 6, 8)])
    torch.testing.assert_close(channels, found.unflatten(1, (WIDTH, -1)).transpose(1, 2).flatten(1))


def test_a_grid_of_one_line_has_no_square_blocks_and_is_told() -> None:
    with pytest.raises(SpecError, match="blocks of 2 x 2 rows, and of a picture of 1 x 16 none is whole"):
        merge(side=2)(drawn(32), [Grid(1, 4, 4), Grid(1, 1, 16)])
    assert merge(side=[1, 2])(drawn(16), [Grid(1, 1, 16)])[1] == [Grid(1, 1, 8)]


def test_rows_beside_the_grid_are_left_out_of_each_picture() -> None:
    grids, part = [Grid(2, 2, 2), Grid(1, 2, 4)], merge(side=2, skip_apart=True)
    rows = drawn(16)
    with_class = torch.cat([torch.cat((torch.full((1, WIDTH), 9.0), each)) for each in rows.split([4, 4, 8])])
    wanted, _ = merge(side=2)(rows, grids)
    for tower_rows in (rows, with_class):
        found, after = part(tower_rows, grids)
        assert torch.equal(found, wanted)
        assert after == [Grid(2, 1, 1), Grid(1, 1, 2)]
    for others in (13, 18):  # fewer, and not as many for each
        with pytest.raises(SpecError, match=f"{others} rows to merge, and their grids have 16"):
            part(drawn(others), grids)


def test_rows_that_come_block_by_block_are_joined_as_they_come() -> None:
    rows = drawn(24)
    found, grids = merge(side=2, blocks=True)(rows, [Grid(1, 2, 4), Grid(1, 4, 4)])
    assert torch.equal(found, rows.view(6, -1))
    assert grids == [Grid(1, 1, 2), Grid(1, 2, 2)]


def test_other_rows_than_those_of_the_grids_are_refused() -> None:
    with pytest.raises(SpecError, match="17 rows to merge, and their grids have 16; `skip` others"):
        merge(side=2)(torch.zeros(17, WIDTH), [Grid(1, 4, 4)])
