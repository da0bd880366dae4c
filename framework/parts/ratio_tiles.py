"""Images stretched to the canvas of tiles whose sides are most like theirs, beside a small picture of the whole.

The formula is that of InternVL 1.5 (Z. Chen and others, arXiv 2404.16821) as transformers has it. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.stand_ins import StandIn, square, stand_in
from triptych.spec.base import PartSpec, Width
from triptych.spec.item_facts import ImageFacts, ItemFacts, ProcessorConfig, VideoFacts

MOST = 12  # tiles, unless the processor says other


class RatioTiles(PartSpec):
    """Tiles of `image` pixels in patches of `patch`; how many there may be the processor says.

    The last picture is that of the whole; an image of one tile has no other.
    """

    keywords: ClassVar[Mapping[str, object]] = {"crop_to_patches": True}
    image: Width
    patch: Width

    @property
    def stand_in(self) -> StandIn:
        """What prepares images so where there is no checkpoint."""
        return stand_in("got_ocr2", "GotOcr2", size=square(self.image), max_patches=MOST)

    def largest(self, modality: str, processor: ProcessorConfig) -> ItemFacts:  # noqa: ARG002
        """An image as large as the squarest of the largest canvases; its ratio counts tiles, not pixels."""
        side = max(self._tile(processor))
        across, down = max(
            _canvases(processor), key=lambda canvas: (canvas[0] * canvas[1], -abs(canvas[0] - canvas[1]))
        )
        return ImageFacts(down * side, across * side)

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> Grid:
        """Raises InputError for what is no image."""
        high, wide = self._tile(processor)
        sides = high // self.patch, wide // self.patch
        if isinstance(item, VideoFacts):
            return Grid(item.frames, *sides)
        if not isinstance(item, ImageFacts):
            raise InputError(f"{item} have no height and width to cut into tiles")
        across, down = _best(item, high * wide, processor)
        tiles = across * down
        return Grid(tiles + 1 if tiles > 1 else 1, *sides)

    def _tile(self, processor: ProcessorConfig) -> tuple[int, int]:
        size = processor.get("size") or {}
        return size.get("height") or self.image, size.get("width") or self.image


def _canvases(processor: ProcessorConfig) -> list[tuple[int, int]]:
    """Numbers of tiles across and down, the fewest first; one tile when more are not asked for."""
    least, most = processor.get("min_patches") or 1, processor.get("max_patches") or MOST
    sides = range(1, most + 1)
    found = [(across, down) for across in sides for down in sides if least <= across * down <= most]
    return sorted(found, key=lambda canvas: canvas[0] * canvas[1]) if most > 1 else [(1, 1)]


def _best(item: ImageFacts, tile: int, processor: ProcessorConfig) -> tuple[int, int]:
    """The canvas of the nearest ratio; of several as near the last that is less than twice as large as the image."""
    ratio, pixels = item.width / item.height, item.width * item.height
    best, least = (1, 1), float("inf")
    for across, down in _canvases(processor):
        off = abs(ratio - across / down)
        if off < least or (off == least and pixels > 0.5 * tile * across * down):
            best, least = (across, down), off
    return best
