"""Long images beside crops of themselves, each brought to the size of the whole. No torch.

The formula is that of Gemma 3's pan and scan (Gemma team, arXiv 2503.19786) as transformers has it.
"""

from __future__ import annotations

from math import ceil, floor

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.stand_ins import StandIn, square, stand_in
from triptych.spec.base import PartSpec, Width
from triptych.spec.item_facts import ImageFacts, ItemFacts, ProcessorConfig, VideoFacts

WAYS = "pan_and_scan_min_crop_size", "pan_and_scan_max_num_crops", "pan_and_scan_min_ratio_to_activate"


class Crops(PartSpec):
    """The whole is a square of `image` pixels in patches of `patch`, and so is each crop.

    Whether there are any, and how many along the longer side, the processor says.
    """

    image: Width
    patch: Width

    @property
    def stand_in(self) -> StandIn:
        """What prepares images so where there is no checkpoint."""
        return stand_in("gemma3", "Gemma3", size=square(self.image))

    def largest(self, modality: str, processor: ProcessorConfig) -> ItemFacts:  # noqa: ARG002
        """An image long enough for as many crops as there may be; where there are none, as large as the whole."""
        if not processor.get("do_pan_and_scan"):
            return ImageFacts(self.image, self.image)
        least, most, ratio = (processor[way] for way in WAYS)
        return ImageFacts(least, least * ceil(max(most, ratio)))

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> Grid:
        """The whole and its crops one after the other; each frame of a video is an image that is not cut."""
        side = self.image // self.patch
        if isinstance(item, VideoFacts):
            return Grid(item.frames, side, side)
        if not isinstance(item, ImageFacts):
            raise InputError(f"{item} have no height and width to cut into crops")
        return Grid(1 + _count(item, processor), side, side)


def _count(item: ImageFacts, processor: ProcessorConfig) -> int:
    """Crops of an image: none of one that is nearly square, and none that are small."""
    if not processor.get("do_pan_and_scan"):
        return 0
    least, most, ratio = (processor[way] for way in WAYS)
    short, long = sorted((item.height, item.width))
    if long / short < ratio:
        return 0
    count = min(most, max(2, min(long // least, floor(long / short + 0.5))))
    return count if min(ceil(long / count), short) >= least else 0
