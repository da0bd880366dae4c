"""Images cut into tiles: canvases, rows and newlines are as the reference's processors count them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import LlavaNextProcessor, LlavaOnevisionProcessor
from transformers.models.llava_next.modeling_llava_next import unpad_image

from triptych.errors import InputError, SpecError
from triptych.parts.anyres import Anyres
from triptych.parts.tile_grid import TileGrid
from triptych.parts.tiles import Tiles
from triptych.parts.tiles_spec import TilesSpec
from triptych.spec.item_facts import AudioFacts, ImageFacts, VideoFacts

CANVASES = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
SIDES = range(384, 2305, 384)
NEXT = Anyres(image=336, patch=14, pinpoints=CANVASES)
ONEVISION = Anyres(image=384, patch=14, pinpoints=tuple((a, b) for a in SIDES for b in SIDES), most="anyres_max_9")  # type: ignore[arg-type]
SMALL = Anyres(image=32, patch=8, pinpoints=((32, 32), (64, 32), (64, 96)), most=2)
LENGTHS = st.one_of(st.integers(1, 64), st.integers(1, 4000), st.sampled_from([168, 336, 384, 672, 768, 1008]))


def taken(grid: TileGrid) -> int:
    return grid.h * grid.w + grid.rows * (grid.columns + 1)


def counted(processor: Any, spec: Anyres, item: ImageFacts) -> int:
    """By the reference's processor of that class."""
    theirs = SimpleNamespace(
        image_processor=SimpleNamespace(image_grid_pinpoints=[list(each) for each in spec.pinpoints]),
        patch_size=spec.patch,
        num_additional_image_tokens=0,
        num_image_tokens=(spec.image // spec.patch) ** 2,
        vision_aspect_ratio=f"anyres_max_{spec.most}",
    )
    theirs._get_unpadded_features = lambda *sizes: processor._get_unpadded_features(theirs, *sizes)
    found: int = processor._get_number_of_features(theirs, item.height, item.width, spec.image, spec.image)
    return found


@settings(max_examples=300, deadline=None)
@given(LENGTHS, LENGTHS)
@example(1, 1)
@example(20_000, 150)
def test_images_of_all_sizes_take_as_many_tokens_as_the_reference_counts(height: int, width: int) -> None:
    item = ImageFacts(height, width)
    assert taken(NEXT(item, {})) == counted(LlavaNextProcessor, NEXT, item)
    assert taken(ONEVISION(item, {})) == counted(LlavaOnevisionProcessor, ONEVISION, item)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([NEXT, ONEVISION, SMALL]), LENGTHS, LENGTHS)
def test_no_image_takes_more_tokens_than_the_largest(spec: Anyres, height: int, width: int) -> None:
    largest = spec.largest("image", {})
    assert taken(spec(ImageFacts(height, width), {})) <= taken(spec(largest, {}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spec",
    [
        SMALL,
        Anyres(image=32, patch=8, pinpoints=((96, 64),), most=2),
        Anyres(image=32, patch=8, pinpoints=((32, 32), (32, 128)), most=3),
        Anyres(image=32, patch=8, pinpoints=((32, 96), (128, 32))),
    ],
)
def test_the_largest_image_is_the_largest_of_all(spec: Anyres) -> None:
    most = max(taken(spec(ImageFacts(h, w), {})) for h in range(1, 130) for w in range(1, 130))
    assert taken(spec(spec.largest("image", {}), {})) == most  # type: ignore[arg-type]


def test_the_processor_that_cuts_the_image_says_the_canvases() -> None:
    assert SMALL(ImageFacts(64, 96), {})[:5] == (7, 4, 4, 2, 3)
    processor = {"image_grid_pinpoints": [[32, 64]]}
    assert SMALL(ImageFacts(64, 96), processor)[:5] == (3, 4, 4, 1, 2)
    assert SMALL.largest("image", processor) == ImageFacts(32, 64)


def test_frames_of_a_video_have_half_the_sides_of_a_picture_rounded_up() -> None:
    odd = Anyres(image=30, patch=6, pinpoints=((30, 30),))
    assert odd(VideoFacts(7, 480, 640), {}) == TileGrid(7, 5, 5, 0, 0, 5, 5, 3, 3)
    with pytest.raises(InputError, match="5 samples have no height and width to cut into tiles"):
        odd(AudioFacts(5), {})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"pinpoints": ()}, "pinpoints"),
        ({"pinpoints": ((32, 32),), "most": "anyres_max_x"}, "most"),
        ({"pinpoints": ((32, 32),), "most": "max_9"}, "most"),
        ({"pinpoints": ((32, 0),)}, "pinpoints"),
    ],
)
def test_what_are_no_canvases_and_no_number_of_tiles_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Anyres(image=32, patch=8, **fields)


def step() -> Tiles:
    part = Tiles(TilesSpec(), width=6, out=6)
    part.newline = torch.nn.Parameter(torch.randn(6))
    return part


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150))
def test_the_image_is_put_together_line_by_line_without_its_borders(height: int, width: int) -> None:
    plain = SMALL.model_copy(update={"most": None})
    part, grid = step(), plain(ImageFacts(height, width), {})
    pixels = torch.arange(grid.down * 4 * grid.across * 4).view(1, grid.down * 4, grid.across * 4).expand(6, -1, -1)
    tiles = pixels.reshape(6, grid.down, 4, grid.across, 4).permute(1, 3, 2, 4, 0).reshape(-1, 6).float()
    small = torch.randn(16, 6)
    found, (after,) = part(torch.cat((small, tiles)), [grid])
    shown = unpad_image(pixels, (height, width)).float()
    lines = torch.cat((shown, part.newline[:, None, None].expand(6, shown.shape[1], 1)), 2).flatten(1).T
    torch.testing.assert_close(found, torch.cat((small, lines)))
    assert len(found) == after.rows == taken(grid)


def test_items_put_together_beside_others_are_as_they_are_alone() -> None:
    part = step()
    facts = [ImageFacts(64, 96), VideoFacts(3, 9, 9), ImageFacts(5, 40), ImageFacts(300, 200)]
    grids = [SMALL(each, {}) for each in facts]
    rows = [torch.randn(grid.t * 16, 6) for grid in grids]
    found, after = part(torch.cat(rows), grids)
    alone = [part(x, [grid])[0] for x, grid in zip(rows, grids, strict=True)]
    torch.testing.assert_close(found, torch.cat(alone))
    assert [each.rows for each in after] == [len(each) for each in alone]


def test_rows_that_are_not_those_of_the_pictures_are_refused() -> None:
    with pytest.raises(SpecError, match="the tower gives 34 rows, and these tiles have 32; `skip` others"):
        step()(torch.zeros(34, 6), [SMALL(ImageFacts(9, 9), {})])
