"""Images cut into tiles of one size, on the canvas that suits them best, beside a small picture of the whole. No torch.

The formulas are those of LLaVA-NeXT (H. Liu and others, "LLaVA-NeXT: Improved reasoning, OCR, and world knowledge",
2024) and, with `most`, of LLaVA-OneVision (B. Li and others, 2024), as transformers has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, sqrt
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, PositiveInt

from triptych.errors import InputError
from triptych.parts.stand_ins import StandIn, square, stand_in
from triptych.parts.tile_grid import TileGrid
from triptych.spec.base import PartSpec, Width
from triptych.spec.item_facts import AudioFacts, ImageFacts, ItemFacts, ProcessorConfig, VideoFacts

FRAMES = 32  # of a dummy video: more are taken as they come, and each takes as many rows
TOLERATED = 1.1  # times `most` on a side before rows are brought down
PREFIX = "anyres_max_"

Sides = tuple[Width, Width]


def _number(value: object) -> object:
    """`anyres_max_9`, as configs have it, is 9."""
    return value.removeprefix(PREFIX) if isinstance(value, str) and value.startswith(PREFIX) else value


class Anyres(PartSpec):
    """Tiles of `image` pixels in patches of `patch`; `pinpoints` are the canvases to choose from, height and width.

    The processor's own `image_grid_pinpoints` come first: it does the cutting. Rows of an image are brought down when
    they are more than `most` tiles have. Frames of a video are pictures by themselves, brought to half their sides.
    """

    told: ClassVar[type[TileGrid]] = TileGrid
    image: Width
    patch: Width
    pinpoints: tuple[Sides, ...] = Field(min_length=1)
    most: Annotated[PositiveInt | None, BeforeValidator(_number)] = None

    @property
    def stand_in(self) -> StandIn:
        """What prepares images so where there is no checkpoint: they differ in what is told of the tiles."""
        canvases = [[*sides] for sides in self.pinpoints]
        if self.most:
            return stand_in("llava_onevision", "LlavaOnevision", size=square(self.image), image_grid_pinpoints=canvases)
        sides = {"size": {"shortest_edge": self.image}, "crop_size": square(self.image)}
        return stand_in("llava_next", "LlavaNext", image_grid_pinpoints=canvases, **sides)

    def largest(self, modality: str, processor: ProcessorConfig) -> ItemFacts:
        """Of an item that takes most rows: an image that fills a canvas, or as much of it as is not brought down."""
        if modality == "video":
            return VideoFacts(FRAMES, self.image, self.image)
        found = sorted(self._candidates(self._canvases(processor)), key=lambda each: -each[0])
        return next(facts for count, facts in found if self._count(facts, processor) == count)

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> TileGrid:
        """Raises InputError for sound."""
        side = self.image // self.patch
        match item:
            case VideoFacts():
                half = ceil(side / 2)
                return TileGrid(item.frames, side, side, 0, 0, side, side, half, half)
            case AudioFacts():
                raise InputError(f"{item} have no height and width to cut into tiles")
        height, width = best_canvas(item, self._canvases(processor))
        down, across = height // self.image, width // self.image
        high, wide = unpadded(item, down * side, across * side)
        return TileGrid(down * across + 1, side, side, down, across, high, wide, *self._brought_down(high, wide))

    def _canvases(self, processor: ProcessorConfig) -> Sequence[Sequence[int]]:
        return processor.get("image_grid_pinpoints") or self.pinpoints

    def _brought_down(self, high: int, wide: int) -> tuple[int, int]:
        if self.most is None:
            return high, wide
        ratio = sqrt(high * wide / (self.most * (self.image // self.patch) ** 2))
        return (int(high // ratio), int(wide // ratio)) if ratio > TOLERATED else (high, wide)

    def _count(self, facts: ImageFacts, processor: ProcessorConfig) -> int:
        grid = self(facts, processor)
        return grid.rows * (grid.columns + 1)

    def _candidates(self, canvases: Sequence[Sequence[int]]) -> Iterator[tuple[int, ImageFacts]]:
        """Images that leave nothing, or a strip, of a canvas empty, each with its rows and newlines."""
        side = self.image // self.patch
        for height, width in canvases:
            high, wide = height // self.image * side, width // self.image * side
            strips = [(n, wide, ImageFacts(ceil(n * width / wide), width)) for n in range(high, 0, -2)]
            strips += [(high, n, ImageFacts(height, ceil(n * height / high))) for n in range(wide, 0, -2)]
            for *filled, facts in strips:
                rows, columns = self._brought_down(*filled)
                yield rows * (columns + 1), facts


def best_canvas(item: ImageFacts, canvases: Sequence[Sequence[int]]) -> Sequence[int]:
    """Height and width of the canvas on which most of an image's pixels show; of several such, the least empty one."""

    def shown(canvas: Sequence[int]) -> tuple[int, int]:
        height, width = canvas
        scale = min(width / item.width, height / item.height)
        pixels = min(int(item.width * scale) * int(item.height * scale), item.width * item.height)
        return pixels, pixels - width * height

    return max(canvases, key=shown)


def unpadded(item: ImageFacts, high: int, wide: int) -> tuple[int, int]:
    """Rows and columns of a canvas of `high` x `wide` that an image fills which is as large as fits, in the middle."""
    if item.width / item.height > wide / high:
        filled = int(round(item.height * (wide / item.width), 7))
        return high - (high - filled) // 2 * 2, wide
    filled = int(round(item.width * (high / item.height), 7))
    return high, wide - (wide - filled) // 2 * 2
