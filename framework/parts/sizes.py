"""From what is known of an item to the grid of its rows. No torch: prompts are expanded by it.

A size is called with the facts of an item and the config of the checkpoint's processor, and gives a `Grid`; its
`largest` are the facts of an item of a modality that takes the most rows. One that turns away a kind of item raises
InputError. A size whose grid is not to be seen from an item's tensor has it as `told`, the class of the grid (a
NamedTuple of whole numbers): then the tower gets the grid with each item. `keywords`, if there are any, are what the
checkpoint's processor is told to prepare items as the size counts them; `stand_in` is what prepares images where there
is no checkpoint.
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from triptych.parts.grid import Grid
from triptych.parts.sides import Sides, said
from triptych.parts.stand_ins import StandIn, stand_in
from triptych.spec.base import PartSpec
from triptych.spec.item_facts import ImageFacts, ItemFacts, ProcessorConfig, VideoFacts


class Fixed(PartSpec):
    """Every image becomes one of `image` pixels, cut in patches of `patch`, each in height and width or one number for
    both; what is left over is not seen.
    """

    image: Sides
    patch: Sides

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.patch.height > self.image.height or self.patch.width > self.image.width:
            raise ValueError(f"a patch of {said(self.patch)} pixels does not fit in an image of {said(self.image)}")
        return self

    @property
    def stand_in(self) -> StandIn:
        """What prepares images so where there is no checkpoint."""
        return stand_in("siglip", "Siglip", size=self.image._asdict())

    def largest(self, modality: str, processor: ProcessorConfig) -> ItemFacts:  # noqa: ARG002
        """Of an item that takes the most rows: here they all take as many."""
        return ImageFacts(*self.image)

    def __call__(self, item: ItemFacts, processor: ProcessorConfig) -> Grid:  # noqa: ARG002
        """The grid of an item; each frame of a video is an image."""
        frames = item.frames if isinstance(item, VideoFacts) else 1
        return Grid(frames, self.image.height // self.patch.height, self.image.width // self.patch.width)
