"""Grids of images of any size are those that the reference's processors make, whatever the size and the limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import MiniCPMV4_6ImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import get_resize_output_image_size

from triptych.errors import InputError
from triptych.parts.crops import Crops
from triptych.parts.grid import Grid
from triptych.parts.longest_edge import LongestEdge
from triptych.parts.ratio_tiles import RatioTiles
from triptych.parts.slices import SliceGrid, Slices
from triptych.parts.split_tiles import SplitGrid, SplitTiles
from triptych.spec.item_facts import AudioFacts, ImageFacts, VideoFacts

TILES = st.tuples(st.integers(9, 500), st.integers(9, 500))  # height, width
SIDES = st.one_of(st.integers(1, 64), st.integers(1, 4000))


@settings(max_examples=150, deadline=None)
@given(height=SIDES, width=SIDES, edge=st.integers(1, 1600), patch=st.integers(1, 32), merge=st.integers(1, 3))
def test_images_are_as_large_as_pixtrals_processor_makes_them(
    height: int, width: int, edge: int, patch: int, merge: int
) -> None:
    size, limits = LongestEdge(edge=9, patch=patch, merge=merge), {"size": {"longest_edge": edge}}
    picture = np.broadcast_to(np.zeros(1, np.uint8), (3, height, width))
    theirs = get_resize_output_image_size(picture, edge, patch * merge, input_data_format="channels_first")
    grid = size(ImageFacts(height, width), limits)
    assert (grid.h * patch, grid.w * patch) == tuple(max(side, patch * merge) for side in theirs)
    assert grid.rows <= size(size.largest("image", limits), limits).rows


def test_a_longest_edge_is_that_of_the_processor_if_it_has_one() -> None:
    size = LongestEdge(edge=32, patch=8, merge=2)
    assert size(ImageFacts(64, 16), {}) == Grid(1, 4, 2)
    assert size(ImageFacts(64, 16), {"size": {"longest_edge": 64}}) == Grid(1, 8, 2)
    assert size(ImageFacts(64, 16), {"size": {"height": 16, "width": 64}}) == Grid(1, 2, 2)
    assert size(VideoFacts(3, 64, 16), {}) == Grid(3, 4, 2)
    assert size.keywords == {"patch_size": {"height": 16, "width": 16}}


@settings(max_examples=150, deadline=None)
@given(height=SIDES, width=SIDES, least=st.integers(1, 4), more=st.integers(0, 9), sides=TILES)
@example(height=29, width=29, least=1, more=8, sides=(20, 20))  # more than half of four tiles
@example(height=28, width=28, least=1, more=8, sides=(20, 20))  # and less
def test_tiles_are_as_many_as_internvls_processor_cuts(
    height: int, width: int, least: int, more: int, sides: tuple[int, int]
) -> None:
    limits: dict[str, Any] = {"min_patches": least, "max_patches": least + more}
    limits["size"] = {"height": sides[0], "width": sides[1]}
    processor = GotOcr2ImageProcessorPil(**limits, **RatioTiles.keywords)
    size = RatioTiles(image=448, patch=3)
    grid = size(ImageFacts(height, width), limits)
    assert grid == Grid(processor.get_number_of_image_patches(height, width), sides[0] // 3, sides[1] // 3)
    assert grid.rows <= size(size.largest("image", limits), limits).rows


def test_of_a_processor_that_is_silent_tiles_are_as_many_as_its_class_cuts() -> None:
    size, processor = RatioTiles(image=384, patch=3), GotOcr2ImageProcessorPil(**RatioTiles.keywords)
    for height, width in ((100, 1200), (100, 1300), (3000, 4000), (50, 3000)):
        assert size(ImageFacts(height, width), {}).t == processor.get_number_of_image_patches(height, width)


def test_frames_of_a_video_are_no_tiles() -> None:
    size = RatioTiles(image=8, patch=4)
    assert size(ImageFacts(8, 24), {}) == Grid(4, 2, 2)
    assert size(VideoFacts(5, 8, 24), {}) == Grid(5, 2, 2)
    assert size(ImageFacts(8, 24), {"max_patches": 1}) == Grid(1, 2, 2)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(2, 300),
    width=st.integers(2, 300),
    side=st.integers(8, 90),
    edge=st.integers(8, 300),
    split=st.booleans(),
)
@example(height=40, width=2, side=90, edge=5000, split=True)  # longer than any side may be
@example(height=30, width=299, side=30, edge=299, split=True)  # whole tiles but for a part of a pixel
@example(height=299, width=30, side=30, edge=299, split=True)
def test_tiles_are_as_many_as_idefics3s_processor_cuts(
    height: int, width: int, side: int, edge: int, split: bool
) -> None:
    limits: dict[str, Any] = {"size": {"longest_edge": edge}, "max_image_size": {"longest_edge": side}}
    limits["do_image_splitting"] = split
    processor = Idefics3ImageProcessorPil(**limits, return_row_col_info=True)
    found = processor(images=[Image.new("RGB", (width, height))])
    size = SplitTiles(image=364, patch=4)
    grid = size(ImageFacts(height, width), limits)
    assert (grid.t, grid.down, grid.across) == (len(found["pixel_values"][0]), found["rows"][0][0], found["cols"][0][0])
    assert (grid.h, grid.w, grid.rows) == (side // 4, side // 4, grid.t * (side // 4) ** 2)
    assert grid.rows <= size(size.largest("image", limits), limits).rows


def test_tiles_without_a_processor_are_those_that_the_reference_assumes() -> None:
    size = SplitTiles(image=8, patch=4)
    assert size(ImageFacts(100, 50), {}) == SplitGrid(9, 2, 2, 4, 2)
    assert size(ImageFacts(8, 24), {"do_resize": False}) == SplitGrid(4, 2, 2, 1, 3)
    assert size(ImageFacts(8, 8), {"do_resize": False}) == SplitGrid(1, 2, 2, 0, 0)
    assert size(VideoFacts(5, 8, 24), {}) == SplitGrid(5, 2, 2, 0, 0)


@settings(max_examples=150, deadline=None)
@given(
    height=SIDES,
    width=SIDES,
    least=st.integers(1, 300),
    most=st.integers(1, 6),
    ratio=st.sampled_from([1.0, 1.2, 1.5, 2.0, 7.5]),
)
@example(height=100, width=250, least=9, most=4, ratio=1.2)  # halves are rounded up
@example(height=120, width=100, least=9, most=4, ratio=1.2)  # just long enough
@example(height=500, width=300, least=256, most=4, ratio=1.2)  # halves would be small
def test_crops_are_as_many_as_gemma3s_processor_cuts(
    height: int, width: int, least: int, most: int, ratio: float
) -> None:
    ways = {
        "pan_and_scan_min_crop_size": least,
        "pan_and_scan_max_num_crops": most,
        "pan_and_scan_min_ratio_to_activate": ratio,
    }
    picture = np.broadcast_to(np.zeros(1, np.uint8), (3, height, width))
    theirs = Gemma3ImageProcessorPil().pan_and_scan(picture, **ways)
    size, limits = Crops(image=64, patch=8), {"do_pan_and_scan": True, **ways}
    assert size(ImageFacts(height, width), limits) == Grid(1 + len(theirs), 8, 8)
    assert len(theirs) < size(size.largest("image", limits), limits).t == 1 + most
    assert size(ImageFacts(height, width), ways | {"do_pan_and_scan": False}) == Grid(1, 8, 8)


def test_no_crops_are_cut_of_frames_and_of_no_processor() -> None:
    size = Crops(image=8, patch=4)
    assert size(ImageFacts(8, 24), {}) == Grid(1, 2, 2)
    assert size(VideoFacts(5, 8, 24), {"do_pan_and_scan": True}) == Grid(5, 2, 2)
    assert size.largest("image", {}) == ImageFacts(8, 8)


@pytest.mark.parametrize(
    "size",
    [Crops(image=8, patch=4), SplitTiles(image=8, patch=4), LongestEdge(edge=8, patch=4), RatioTiles(image=8, patch=4)],
)
def test_sound_has_no_height_and_width(size: Any) -> None:
    with pytest.raises(InputError, match="16 samples have no height and width to cut into"):
        size(AudioFacts(16), {})


@settings(max_examples=150, deadline=None)
@given(
    height=SIDES,
    width=SIDES,
    side=st.integers(8, 500),
    most=st.one_of(st.integers(1, 12), st.none()),
    unit=st.integers(1, 8),
)
def test_slices_are_those_that_minicpmvs_processor_cuts(
    height: int, width: int, side: int, most: int | None, unit: int
) -> None:
    """It joins patches four by four: their sizes are those of patches four times as large."""
    limits = {"max_slice_nums": most, "scale_resolution": side, "slice_mode": most is not None}
    theirs, facts = MiniCPMV4_6ImageProcessorPil(), (height, width)
    ways = theirs.get_sliced_grid(facts, most, side) if most is not None else None
    whole = theirs.find_best_resize(facts, side, unit, "16x", allow_upscale=ways is None)
    down, across = ways or (0, 0)
    high, wide = theirs.get_refine_size(facts, ways, side, unit, "16x", allow_upscale=True) if ways else (0, 0)
    size, patch = Slices(side=448, patch=4 * unit), 4 * unit
    grid = size(ImageFacts(height, width), limits)
    assert (grid.h * patch, grid.w * patch, grid.down, grid.across) == (*whole, down, across)
    assert (grid.high * patch * down, grid.wide * patch * across) == (high, wide)
    assert grid.t == down * across + 1 == len(grid.pictures)
    assert grid.rows == sum(picture.rows for picture in grid.pictures)
    assert grid.t <= size(size.largest("image", limits), limits).t


def test_slices_are_as_the_spec_says_where_the_processor_says_nothing() -> None:
    size = Slices(side=32, patch=8, most=4)
    assert size(ImageFacts(32, 32), {}) == SliceGrid(1, 4, 4, 0, 0, 0, 0)
    assert size(ImageFacts(64, 32), {}) == SliceGrid(3, 6, 3, 2, 1, 4, 4)
    assert size(ImageFacts(500, 500), {}) == SliceGrid(5, 4, 4, 2, 2, 4, 4)
    assert size(ImageFacts(500, 500), {"max_slice_nums": 1}).t == 1
    assert size.largest("image", {}) == ImageFacts(64, 64)
    six = Slices(side=32, patch=8)(ImageFacts(53, 81), {})  # five would do by the pixels, and lie worse
    assert (six.down, six.across) == (2, 3)
    assert SliceGrid(3, 6, 3, 2, 1, 4, 4).pictures == (Grid(1, 6, 3), Grid(1, 4, 4), Grid(1, 4, 4))


def test_of_a_video_each_frame_is_a_picture_that_is_not_cut_and_of_sound_there_is_none() -> None:
    assert Slices(side=28, patch=14)(VideoFacts(3, 64, 64), {}) == (3, 2, 2, 0, 0, 0, 0)
    with pytest.raises(InputError, match="100 samples are no image to cut into slices"):
        Slices(side=32, patch=8)(AudioFacts(100), {})
