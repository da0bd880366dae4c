"""Images cut into slices whose sides are as theirs, beside a small picture of the whole. No torch.

The formula is that of MiniCPM-V (Y. Yao and others, arXiv 2408.01800), which has it from LLaVA-UHD (Z. Guo and others,
arXiv 2403.11703), as transformers has it for a later one.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log, sqrt
from typing import ClassVar, NamedTuple

from pydantic import Field, PositiveInt

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.patches_spec import Pixels
from triptych.parts.smart_resize import near_square
from triptych.spec.base import PartSpec, Width
from triptych.spec.item_facts import AudioFacts, ImageFacts, ItemFacts, ProcessorConfig, VideoFacts


class SliceGrid(NamedTuple):
    """`t` pictures: one of the whole, `h` x `w` rows, then `down` x `across` slices line by line, each `high` x `wide`.

    An image that is not cut has the first alone; of a video each frame is one.
    """

    t: int
    h: int
    w: int
    down: int
    across: int
    high: int
    wide: int

    @property
    def pictures(self) -> tuple[Grid, ...]:
        """The grid of each."""
        slices = self.down * self.across
        return *(Grid(1, self.h, self.w),) * (self.t - slices), *(Grid(1, self.high, self.wide),) * slices

    @property
    def rows(self) -> int:
        slices = self.down * self.across
        return (self.t - slices) * self.h * self.w + slices * self.high * self.wide


class Slices(PartSpec):
    """Pictures of about `side` x `side` pixels with the proportions of what they show, in whole patches of `patch`.

    An image of more pixels is cut, at the most into `most` slices; a frame of a video is not. The processor's own
    `scale_resolution` and `max_slice_nums` come first, and its `slice_mode` says whether anything is cut.
    """

    told: ClassVar[type[SliceGrid]] = SliceGrid
    side: Width
    patch: Pixels
    most: PositiveInt = Field(9, le=2**10)

    def largest(self, modality: str, processor: ProcessorConfig) -> ItemFacts:
        """An image of as many squares as there may be slices, as near to a square as they can lie; a frame."""
        side, most = self._limits(processor)
        if modality == "video":
            return VideoFacts(1, side, side)
        down, across = near_square(most)
        return ImageFacts(down * side, across * side)

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> SliceGrid:
        """Raises InputError for sound."""
        if isinstance(item, AudioFacts):
            raise InputError(f"{item} are no image to cut into slices")
        side, most = self._limits(processor)
        whole = self._fitted(item.height, item.width, side)
        if isinstance(item, VideoFacts):
            return SliceGrid(item.frames, *whole, 0, 0, 0, 0)
        if (cut := _cut(item, side, most)) is None:
            return SliceGrid(1, *whole, 0, 0, 0, 0)
        down, across = cut
        one = self._fitted(_whole(item.height, down) / down, _whole(item.width, across) / across, side)
        return SliceGrid(1 + down * across, *whole, down, across, *one)

    def prepared(self, item: ItemFacts, processor: ProcessorConfig) -> dict[str, object]:  # noqa: ARG002
        """What the image processor is told of an item."""
        return {"whole": True} if isinstance(item, VideoFacts) else {}

    def _limits(self, processor: ProcessorConfig) -> tuple[int, int]:
        """Pixels of a side, and slices at the most."""
        most = 1 if processor.get("slice_mode") is False else processor.get("max_slice_nums") or self.most
        return processor.get("scale_resolution") or self.side, most

    def _fitted(self, height: float, width: float, side: int) -> tuple[int, int]:
        """Lines and columns of patches of about as many pixels as a square; in floats, step by step as the files do."""
        ratio = width / height
        high = int(side / sqrt(ratio))
        wide = int(high * ratio)
        return _whole(high, self.patch) // self.patch, _whole(wide, self.patch) // self.patch


def _whole(length: int, unit: int) -> int:
    """Rounded to whole units, one at the least."""
    return max(round(length / unit), 1) * unit


def _cut(item: ImageFacts, side: int, most: int) -> tuple[int, int] | None:
    """Slices down and across; None for an image that is not cut."""
    wanted = min(ceil(item.width * item.height / side**2), most)
    if wanted <= 1:
        return None
    ratio = log(item.width / item.height)
    counts = (count for count in (wanted - 1, wanted, wanted + 1) if 1 < count <= most)
    ways = (way for count in counts for way in _ways(count))
    return min(ways, key=lambda way: abs(ratio - log(way[1] / way[0])))


def _ways(count: int) -> Iterator[tuple[int, int]]:
    """How so many slices may lie, down and across; of two that fit as well the first is taken."""
    return ((count // across, across) for across in range(1, count + 1) if count % across == 0)
