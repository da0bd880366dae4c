"""The resampler equals its description, on pictures of any size, in one call as alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parts.drawing import filled
from tests.reference import resampler as reference
from triptych.errors import SpecError
from triptych.parts.grid import Grid
from triptych.parts.norms_spec import LayerNormSpec
from triptych.parts.projectors_spec import LinearStepSpec
from triptych.parts.resampler import Resampler
from triptych.parts.resampler_spec import ResamplerSpec

QUERIES, WIDTH, KV_WIDTH, HEADS = 5, 16, 12, 2
SIDES = st.integers(1, 9)


class Sliced(NamedTuple):
    """An item whose pictures are of two sizes."""

    t: int
    h: int
    w: int

    @property
    def pictures(self) -> tuple[Grid, ...]:
        return Grid(1, self.h, self.w), *[Grid(1, self.w, 1)] * (self.t - 1)


def part() -> Resampler:
    spec = ResamplerSpec(queries=QUERIES, heads=HEADS, norm=LayerNormSpec(eps=reference.EPS))
    found = filled(spec, width=WIDTH, out=WIDTH)
    assert isinstance(found, Resampler)
    return found


def oracle(ours: Resampler) -> reference.Resampler:
    """With the part's weights where it has them; the steps around it change nothing."""
    found = reference.Resampler(queries=QUERIES, width=WIDTH, heads=HEADS, kv_width=WIDTH).requires_grad_(False)
    assert ours.norm is not None
    assert ours.qkv.bias is not None
    assert ours.out.bias is not None
    found.query.copy_(ours.queries)
    found.ln_q.load_state_dict(ours.norm.state_dict())
    found.attn.in_proj_weight.copy_(ours.qkv.weight)
    found.attn.in_proj_bias.copy_(ours.qkv.bias)
    found.attn.out_proj.load_state_dict({"weight": ours.out.weight, "bias": ours.out.bias})
    found.kv_proj.weight.copy_(torch.eye(WIDTH))
    found.proj.copy_(torch.eye(WIDTH))
    found.ln_kv, found.ln_post = torch.nn.Identity(), torch.nn.Identity()  # type: ignore[assignment]
    return found


def rows_of(grids: Sequence[Grid]) -> torch.Tensor:
    total = sum(grid.rows for grid in grids)
    return torch.randn(total, WIDTH, generator=torch.Generator().manual_seed(total))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.builds(Grid, st.integers(1, 2), SIDES, SIDES), min_size=1, max_size=4))
def test_pictures_of_any_sizes_in_one_call_equal_the_description(grids: list[Grid]) -> None:
    ours, rows = part(), rows_of(grids)
    sizes = [(grid.h, grid.w) for grid in grids for _ in range(grid.t)]
    wanted = oracle(ours)(rows.split([h * w for h, w in sizes]), sizes)
    found, after = ours(rows, grids)
    torch.testing.assert_close(found, wanted.flatten(0, 1), rtol=1e-5, atol=1e-5)
    assert after == [Grid(grid.t, 1, QUERIES) for grid in grids]
    assert [grid.rows for grid in after] == [grid.t * QUERIES for grid in grids]


def test_a_picture_alone_gives_the_same_rows() -> None:
    ours, grids = part(), [Grid(1, 4, 3), Grid(2, 1, 7), Grid(1, 9, 9)]
    rows = rows_of(grids)
    together = ours(rows, grids)[0].split([QUERIES * grid.t for grid in grids])
    for x, grid, found in zip(rows.split([grid.rows for grid in grids]), grids, together, strict=True):
        torch.testing.assert_close(ours(x, [grid])[0], found)


def test_an_item_whose_pictures_differ_is_as_many_pictures() -> None:
    ours, sliced = part(), Sliced(3, 2, 5)
    pictures = [*sliced.pictures]
    rows = rows_of(pictures)
    found, after = ours(rows, [sliced])
    assert torch.equal(found, ours(rows, pictures)[0])
    assert after == [Grid(3, 1, QUERIES)]


def test_a_place_in_a_picture_is_its_column_and_its_line() -> None:
    ours, rows = part(), rows_of([Grid(1, 2, 3)])
    lying, standing = (ours(rows, [grid])[0] for grid in (Grid(1, 2, 3), Grid(1, 3, 2)))
    assert (lying - standing).abs().max() > 1e-3


def test_rows_that_are_not_those_of_the_grids_are_refused() -> None:
    with pytest.raises(SpecError, match="5 rows to look at, and their grids have 4; `skip` others"):
        part()(torch.zeros(5, WIDTH), [Grid(1, 2, 2)])


@pytest.mark.parametrize(("width", "heads"), [(18, 3), (16, 3), (6, 1)])
def test_a_width_that_does_not_divide_is_refused(width: int, heads: int) -> None:
    message = f"rows of {width} are not to be cut into {heads} heads, and in four for places"
    with pytest.raises(SpecError, match=message):
        ResamplerSpec(queries=2, heads=heads).build(width=width, out=width)


def test_steps_around_it_are_what_the_description_has_around_its_attention() -> None:
    """A matrix and a norm before it, a norm and a matrix after it."""
    ours, grids = part(), [Grid(1, 2, 3), Grid(1, 4, 1)]
    theirs = oracle(ours)
    norm = LayerNormSpec(eps=reference.EPS)
    narrow = filled(LinearStepSpec(bias=False), width=KV_WIDTH, out=WIDTH)
    project = filled(LinearStepSpec(bias=False), width=WIDTH, out=WIDTH, seed=1)
    before, after = filled(norm, width=WIDTH, seed=2), filled(norm, width=WIDTH, seed=3)
    whole = reference.Resampler(queries=QUERIES, width=WIDTH, heads=HEADS, kv_width=KV_WIDTH).requires_grad_(False)
    whole.load_state_dict({**whole.state_dict(), **theirs.state_dict()} | {"kv_proj.weight": narrow.weight})
    whole.ln_kv.load_state_dict(before.state_dict())
    whole.ln_post.load_state_dict(after.state_dict())
    whole.proj.copy_(project.weight.T)
    rows = torch.randn(10, KV_WIDTH, generator=torch.Generator().manual_seed(0))
    found, _ = ours(before(narrow(rows, grids)[0]), grids)
    found, _ = project(after(found), grids)
    wanted = whole(rows.split([6, 4]), [(2, 3), (4, 1)])
    torch.testing.assert_close(found, wanted.flatten(0, 1), rtol=1e-5, atol=1e-5)
