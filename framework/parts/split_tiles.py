"""Images stretched to whole tiles and cut, beside a small picture of the whole. No torch.

The formula is that of Idefics3 (H. Laurencon and others, arXiv 2408.12637) as transformers has it.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.stand_ins import StandIn, stand_in
from triptych.spec.base import PartSpec, Width
from triptych.spec.item_facts import ImageFacts, ItemFacts, ProcessorConfig, VideoFacts

SIDES = 4  # tiles along the longest side, unless the processor says other
MOST = 4096  # pixels of a side


class SplitGrid(NamedTuple):
    """`t` pictures of `h` x `w` rows: `down` x `across` tiles line by line, then one of the whole; or that alone."""

    t: int
    h: int
    w: int
    down: int
    across: int

    @property
    def rows(self) -> int:
        return Grid(self.t, self.h, self.w).rows


class SplitTiles(PartSpec):
    """Tiles of `image` pixels in patches of `patch`, or of the processor's `max_image_size`."""

    image: Width
    patch: Width

    @property
    def stand_in(self) -> StandIn:
        """What prepares images so where there is no checkpoint."""
        return stand_in(
            "idefics3",
            "Idefics3",
            size={"longest_edge": SIDES * self.image},
            max_image_size={"longest_edge": self.image},
        )

    def largest(self, modality: str, processor: ProcessorConfig) -> ItemFacts:  # noqa: ARG002
        """A square."""
        return ImageFacts(MOST, MOST)

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> SplitGrid:
        """Raises InputError for what is no image; each frame of a video is a small picture."""
        tile = self._tile(processor)
        side = tile // self.patch
        if isinstance(item, VideoFacts):
            return SplitGrid(item.frames, side, side, 0, 0)
        if not isinstance(item, ImageFacts):
            raise InputError(f"{item} have no height and width to cut into tiles")
        down, across = self._cut(item, tile, processor)
        return SplitGrid(down * across + 1, side, side, down, across)

    def _tile(self, processor: ProcessorConfig) -> int:
        found: int = (processor.get("max_image_size") or {}).get("longest_edge") or self.image
        return found

    def _cut(self, item: ImageFacts, tile: int, processor: ProcessorConfig) -> tuple[int, int]:
        if processor.get("do_image_splitting") is False:
            return 0, 0
        height, width = item.height, item.width
        if processor.get("do_resize") is not False:
            height, width = _resized(height, width, processor.get("size") or {"longest_edge": SIDES * tile})
        down, across = _whole(height, width, tile)
        return (down, across) if down * across > 1 else (0, 0)


def _resized(height: int, width: int, size: ProcessorConfig) -> tuple[int, int]:
    """To the longest side that the processor has, the other one even; then below the most."""
    if not (edge := size.get("longest_edge")):
        return size["height"], size["width"]
    height, width = _scaled(height, width, edge)
    height, width = (height + height % 2, edge) if width == edge else (edge, width + width % 2)
    height, width = max(height, 1), max(width, 1)
    if max(height, width) > MOST:
        height, width = _scaled(height, width, MOST)
    return max(height, 1), max(width, 1)


def _scaled(height: int, width: int, edge: int) -> tuple[int, int]:
    ratio = width / height
    return (int(edge / ratio), edge) if width >= height else (edge, int(edge * ratio))


def _whole(height: int, width: int, tile: int) -> tuple[int, int]:
    """Tiles down and across, when the longer side is stretched to whole tiles first."""
    ratio = width / height
    if width >= height:
        across = ceil(width / tile)
        return ceil(int(across * tile / ratio) / tile), across
    down = ceil(height / tile)
    return down, ceil(int(down * tile * ratio) / tile)
