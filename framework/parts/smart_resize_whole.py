"""Sizes of videos by the pixels of all their frames, and of images by those of each. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.smart_resize import SmartResize, check_sides
from triptych.spec.item_facts import ItemFacts, ProcessorConfig, VideoFacts

FRAME_TOKENS = 768  # the most of a frame, where it is capped and the processor does not say


class SmartResizeWhole(SmartResize):
    """As `smart_resize`, but that the pixels of a video's limits are those of all its frames together.

    Where the processor says `cap_pixels_per_frame`, a frame has no more than `max_video_tokens` blocks either.
    """

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> Grid:
        """As `smart_resize`. Raises InputError for a video that has no whole moment, too."""
        if not isinstance(item, VideoFacts):
            return super().__call__(item, processor)
        height, width = self.sized(item, processor)
        return Grid(-(-item.frames // self.frames), height // self.patch, width // self.patch)

    def sized(self, item: VideoFacts, processor: ProcessorConfig) -> tuple[int, int]:
        """The height and the width of each frame, which a processor of images is not told to find."""
        if item.frames < self.frames:
            wanted = f"a video of this model has {self.frames} or more; give a picture as an image"
            raise InputError(f"has {item.frames} frame{'s' * (item.frames != 1)}, and {wanted}")
        unit, (fewest, most) = self.patch * self.merge, self._limits(item, processor)
        height, width = self._enlarged(item.height, item.width)
        check_sides(height, width)
        pixels = item.frames * height * width
        sides = [round(side / unit) * unit for side in (height, width)]
        whole = self._counted(item.frames) * math.prod(sides)
        if whole > most:
            shrink = math.sqrt(pixels / most)
            sides = [max(unit, math.floor(side / shrink / unit) * unit) for side in (height, width)]
        elif whole < fewest:
            grow = math.sqrt(fewest / pixels)
            sides = [math.ceil(side * grow / unit) * unit for side in (height, width)]
        return sides[0], sides[1]

    def prepared(self, item: ItemFacts, processor: ProcessorConfig) -> Mapping[str, object]:
        """Frames come in their size to the processor of images."""
        return {"do_resize": False} if isinstance(item, VideoFacts) else super().prepared(item, processor)

    def _counted(self, frames: int) -> int:
        """Of how many frames the pixels count when it is asked whether they are too many; not so when they are shrunk.

        Of an odd number one may be left out, or taken twice.
        """
        return round(frames / self.frames) * self.frames

    def _pixels(self, item: ItemFacts, processor: ProcessorConfig) -> int:
        most = super()._pixels(item, processor)
        if not isinstance(item, VideoFacts):
            return most
        return most // min(item.frames, self._counted(item.frames) or item.frames)

    def _enlarged(self, height: int, width: int) -> tuple[int, int]:
        """At least one block high and wide."""
        unit = self.patch * self.merge
        if min(height, width) >= unit:
            return height, width
        scale = max(unit / height, unit / width)
        return int(height * scale), int(width * scale)

    def _limits(self, item: ItemFacts, processor: ProcessorConfig) -> tuple[int, int]:
        fewest, most = super()._limits(item, {**processor, "cap_pixels_per_frame": False})
        if not isinstance(item, VideoFacts) or not processor.get("cap_pixels_per_frame"):
            return fewest, most
        capped = (processor.get("max_video_tokens") or FRAME_TOKENS) * (self.patch * self.merge) ** 2
        return fewest, item.frames * max(min(capped, most // item.frames), int(fewest * 1.05))
