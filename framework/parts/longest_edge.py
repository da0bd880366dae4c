"""Images as large as they come, up to a longest side. No torch."""

from __future__ import annotations

from math import ceil, floor

from pydantic import Field, PositiveInt

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.stand_ins import StandIn, stand_in
from triptych.spec.base import PartSpec, Width
from triptych.spec.item_facts import AudioFacts, ImageFacts, ItemFacts, ProcessorConfig, VideoFacts


class LongestEdge(PartSpec):
    """No side of an image is longer than `edge` pixels, or what the processor says; both are whole steps.

    A step is a patch of `patch` pixels, or `merge` of them where the language model reads blocks of `merge` x `merge`.
    The formula is that of Pixtral (P. Agrawal and others, arXiv 2410.07073) as transformers has it; its makers take the
    `nearest` whole pixel of a side that is brought down to size, and not the one below.
    """

    edge: Width
    patch: Width
    merge: PositiveInt = Field(1, le=2**6)
    nearest: bool = False

    @property
    def keywords(self) -> dict[str, object]:
        """What the processor is told: it knows nothing of blocks."""
        return {"patch_size": {"height": self.patch * self.merge, "width": self.patch * self.merge}}

    @property
    def stand_in(self) -> StandIn:
        """What prepares images so where there is no checkpoint."""
        return stand_in("pixtral", "Pixtral", size={"longest_edge": self.edge}, **self.keywords)

    def largest(self, modality: str, processor: ProcessorConfig) -> ItemFacts:  # noqa: ARG002
        """A square as large as they come."""
        return ImageFacts(*self._most(processor))

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> Grid:
        """The grid of an item; each frame of a video is an image. Raises InputError for sound."""
        if isinstance(item, AudioFacts):
            raise InputError(f"{item} have no height and width to cut into patches")
        high, wide = self._most(processor)
        ratio = max(item.height / high, item.width / wide, 1)
        whole = round if self.nearest else floor
        height, width = (self._steps(whole(side / ratio)) for side in (item.height, item.width))
        return Grid(item.frames if isinstance(item, VideoFacts) else 1, height * self.merge, width * self.merge)

    def _steps(self, side: int) -> int:
        """One at least: the processor turns away an image of which a side would vanish."""
        return max(ceil(side / (self.patch * self.merge)), 1)

    def _most(self, processor: ProcessorConfig) -> tuple[int, int]:
        """The largest height and width."""
        size = processor.get("size") or {}
        edge = size.get("longest_edge") or self.edge
        return size.get("height") or edge, size.get("width") or edge
