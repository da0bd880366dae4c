"""Sizes that keep an image's proportions: those of the reference's processor, whichever way its limits are written."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.smart_resize import SmartResize
from triptych.spec.item_facts import AudioFacts, ImageFacts, VideoFacts

SIDES = st.integers(1, 4000)
PATCHES = st.tuples(st.sampled_from([7, 14, 16]), st.integers(1, 3))


def limits(fewest: int, most: int) -> list[dict[str, Any]]:
    """One pair of limits as older and newer processors write it."""
    named = {"min_pixels": fewest, "max_pixels": most}
    return [named, {"size": {"shortest_edge": fewest, "longest_edge": most}}, {"size": named}]


@given(SIDES, SIDES, PATCHES, st.integers(1, 20), st.integers(0, 200))
def test_the_grid_is_that_of_the_references_processor(
    height: int, width: int, patches: tuple[int, int], fewest: int, more: int
) -> None:
    (patch, merge), unit = patches, (patches[0] * patches[1]) ** 2
    least, most = fewest * unit, (fewest + more) * unit
    size = SmartResize(patch=patch, merge=merge, frames=2)
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(InputError, match=re.escape(f"is {width} x {height}; one side may be at most 200 times")):
            size(ImageFacts(height, width), limits(least, most)[0])
        return
    down, across = smart_resize(height, width, factor=patch * merge, min_pixels=least, max_pixels=most)
    wanted = Grid(1, down // patch, across // patch)
    for processor in limits(least, most):
        assert size(ImageFacts(height, width), processor) == wanted
        assert size(VideoFacts(5, height, width), processor) == wanted._replace(t=3), "an odd frame is a moment too"


@given(PATCHES, st.integers(4, 300), SIDES, SIDES)
def test_no_image_takes_more_rows_than_the_largest(
    patches: tuple[int, int], most: int, height: int, width: int
) -> None:
    size, unit = SmartResize(patch=patches[0], merge=patches[1]), patches[0] * patches[1]
    processor = limits(most // 4 * unit**2, most * unit**2)[0]
    largest = size.largest("image", processor)
    if max(height, width) <= 200 * min(height, width):
        assert size(ImageFacts(height, width), processor).rows <= size(largest, processor).rows
    assert size.largest("video", processor) == VideoFacts(1, largest.height, largest.width)  # type: ignore[union-attr]


def test_sound_has_no_height() -> None:
    with pytest.raises(InputError, match="has no height and width; this tower takes images and videos"):
        SmartResize(patch=14)(AudioFacts(100), {})
