"""Sizes that keep an image's own proportions: whole blocks of patches, their number within limits. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar

from pydantic import PositiveInt

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.patches_spec import Pixels
from triptych.parts.stand_ins import StandIn, stand_in
from triptych.spec.base import PartSpec
from triptych.spec.item_facts import AudioFacts, ImageFacts, ItemFacts, ProcessorConfig, VideoFacts

FEWEST, MOST = 56 * 56, 28 * 28 * 1280  # pixels, where the processor says nothing
TOKENS = 128_000  # of a video, of which nine tenths are given to its moments
LONGEST = 200  # times the shorter side: what is longer is refused


class SmartResize(PartSpec):
    """Sides rounded to blocks of `merge` patches of `patch` pixels, with at least and at most as many pixels as the
    processor says (`min_pixels`, `max_pixels`; newer files: `size.shortest_edge`, `size.longest_edge`).

    `frames` frames of a video are one moment of the grid. Where the processor says `cap_pixels_per_frame`, those of a
    long video have fewer pixels: nine tenths of `max_video_tokens` for all moments, `TOKENS` where it does not say.
    """

    told: ClassVar[type[Grid]] = Grid
    patch: Pixels
    merge: PositiveInt = 1
    frames: Pixels = 1

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> Grid:
        """The grid of an item. Raises InputError for what has no height and width, and for one side far the longer."""
        if isinstance(item, AudioFacts):
            raise InputError("has no height and width; this tower takes images and videos")
        height, width = self._resized(item.height, item.width, self._limits(item, processor))
        moments = -(-item.frames // self.frames) if isinstance(item, VideoFacts) else 1
        return Grid(moments, height // self.patch, width // self.patch)

    def prepared(self, item: ItemFacts, processor: ProcessorConfig) -> Mapping[str, object]:
        """What a processor is told to make an item as large as that."""
        fewest, most = self._limits(item, processor)
        return {"size": {"shortest_edge": fewest, "longest_edge": most}}

    @property
    def stand_in(self) -> StandIn:
        """What prepares images so where there is no checkpoint."""
        return stand_in(
            "qwen2_vl", "Qwen2VL", patch_size=self.patch, merge_size=self.merge, temporal_patch_size=self.frames
        )

    def largest(self, modality: str, processor: ProcessorConfig) -> ItemFacts:
        """Of an item that takes the most rows: of a video a moment, as any number of frames can be given.

        That is one of the most pixels, as near to a square as whole blocks can be. Where these are few, a strip takes
        more: it keeps one block of height, and is shrunk as if it had less. The fewest pixels are taken to be less than
        half of the most: what is enlarged ends on whole blocks beyond them.
        """
        return self.largest_of(self.frames, processor) if modality == "video" else self._widest(ImageFacts, processor)

    def largest_of(self, frames: int, processor: ProcessorConfig) -> VideoFacts:
        """Of a video of so many frames that takes the most rows."""
        found = self._widest(partial(VideoFacts, frames), processor)
        assert isinstance(found, VideoFacts)
        return found

    def _widest(self, item: Callable[[int, int], ItemFacts], processor: ProcessorConfig) -> ItemFacts:
        unit = self.patch * self.merge
        square = near_square(max(1, self._pixels(item(unit, unit), processor) // unit**2))
        sides = (square, (1, LONGEST))
        found = [item(down * unit, across * unit) for down, across in sides]
        return max(found, key=lambda each: self(each, processor).rows)

    def _pixels(self, item: ItemFacts, processor: ProcessorConfig) -> int:
        """The most of one picture."""
        return self._limits(item, processor)[1]

    def _limits(self, item: ItemFacts, processor: ProcessorConfig) -> tuple[int, int]:
        fewest, most = _limits(processor)
        if not isinstance(item, VideoFacts) or not processor.get("cap_pixels_per_frame"):
            return fewest, most
        whole = int((processor.get("max_video_tokens") or TOKENS) * (self.patch * self.merge) ** 2 * 0.9)
        return fewest, max(min(most, whole * self.frames // item.frames), int(fewest * 1.05))

    def _resized(self, height: int, width: int, limits: tuple[int, int]) -> tuple[int, int]:
        """Pixels after resizing; in floats, step by step as the processor has it: rounding decides between blocks."""
        check_sides(height, width)
        unit, (fewest, most) = self.patch * self.merge, limits
        sides = [round(side / unit) * unit for side in (height, width)]
        if math.prod(sides) > most:
            shrink = math.sqrt(height * width / most)
            sides = [max(unit, math.floor(side / shrink / unit) * unit) for side in (height, width)]
        elif math.prod(sides) < fewest:
            grow = math.sqrt(fewest / (height * width))
            sides = [math.ceil(side * grow / unit) * unit for side in (height, width)]
        return sides[0], sides[1]


def check_sides(height: int, width: int) -> None:
    """Raise InputError for one side far longer than the other."""
    if max(height, width) > LONGEST * min(height, width):
        raise InputError(f"is {width} x {height}; one side may be at most {LONGEST} times the other")


def near_square(most: int) -> tuple[int, int]:
    """The sides of the most blocks up to so many that make a rectangle not far from a square."""
    for blocks in range(most, 0, -1):
        for down in range(math.isqrt(blocks), 0, -1):
            if blocks % down == 0 and blocks <= LONGEST * down**2:
                return down, blocks // down
    raise AssertionError("one block is a square")


def _limits(processor: ProcessorConfig) -> tuple[int, int]:
    size = processor.get("size") or {}
    fewest = processor.get("min_pixels") or size.get("shortest_edge") or size.get("min_pixels") or FEWEST
    most = processor.get("max_pixels") or size.get("longest_edge") or size.get("max_pixels") or MOST
    return fewest, most
