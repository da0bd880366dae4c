"""Images with their own proportions, as large as so many patches let them be. No torch.

The formula is that of SigLIP 2's NaFlex (M. Tschannen and others, arXiv 2502.14786) as transformers has it.
"""

from __future__ import annotations

from math import ceil
from typing import ClassVar

from pydantic import Field, PositiveInt

from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.patches_spec import Pixels
from triptych.parts.smart_resize import near_square
from triptych.parts.stand_ins import StandIn, stand_in
from triptych.spec.base import PartSpec
from triptych.spec.item_facts import AudioFacts, ImageFacts, ItemFacts, ProcessorConfig, VideoFacts

FINEST, COARSEST = 1e-6, 100.0  # scales that are tried
EXACT = 1e-5  # how near to each other the two nearest are


class MaxPatches(PartSpec):
    """The sides of an image, scaled and rounded up to whole patches of `patch` pixels, make at the most `most` patches.

    The processor's own `max_num_patches` comes first.
    """

    told: ClassVar[type[Grid]] = Grid
    patch: Pixels
    most: PositiveInt = Field(le=2**20)

    @property
    def stand_in(self) -> StandIn:
        """What prepares images so where there is no checkpoint."""
        return stand_in("siglip2", "Siglip2", patch_size=self.patch, max_num_patches=self.most)

    def largest(self, modality: str, processor: ProcessorConfig) -> ItemFacts:  # noqa: ARG002
        """An image of as many patches as there may be, as near to a square as they can lie."""
        down, across = near_square(self._most(processor))
        return ImageFacts(down * self.patch, across * self.patch)

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> Grid:
        """Each frame of a video is an image. Raises InputError for sound."""
        if isinstance(item, AudioFacts):
            raise InputError(f"{item} have no height and width to cut into patches")
        scale = self._scale(item, self._most(processor))
        moments = item.frames if isinstance(item, VideoFacts) else 1
        return Grid(moments, self._patches(item.height, scale), self._patches(item.width, scale))

    def _most(self, processor: ProcessorConfig) -> int:
        return processor.get("max_num_patches") or self.most

    def _scale(self, item: ImageFacts | VideoFacts, most: int) -> float:
        """The largest scale at which they are not too many, by halves: where it ends decides between patches."""
        low, high = FINEST, COARSEST
        while high - low >= EXACT:
            middle = (low + high) / 2
            fits = self._patches(item.height, middle) * self._patches(item.width, middle) <= most
            low, high = (middle, high) if fits else (low, middle)
        return low

    def _patches(self, side: int, scale: float) -> int:
        return max(ceil(side * scale / self.patch), 1)
