"""How Pixtral is shown images where its makers' files are read: these have no settings of a processor beside them.

What is done to an image is what the makers' own library does: cubic interpolation without smoothing, and the means of
CLIP. What transformers has for the same model makes other pixels of large images, and now and then another grid.
"""
# Y, X pixels, C channels

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

import triptych

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP


class PixtralInfo(triptych.SpecProcessingInfo):
    """As the spec says; how large an image may be the config says."""

    def __init__(self, ctx: triptych.InputProcessingContext) -> None:
        size = ctx.tokens["image"].grid
        super().__init__(replace(ctx, load_images=lambda folder: _load(size, folder)))


class PixtralProcessor(triptych.SpecProcessor):
    """As the spec says."""

    Info: ClassVar[type[PixtralInfo]] = PixtralInfo


class Resized:
    """An image processor: pictures in whole patches, as the spec's size counts them."""

    def __init__(self, size: Any) -> None:
        self.size = size

    def to_dict(self) -> dict[str, Any]:
        """Nothing that the spec's size would read in place of its own numbers."""
        return {}

    def __call__(self, images: Sequence[Image.Image], **told: object) -> dict[str, Tensor]:  # noqa: ARG002
        """One image in RGB -> [1, C, Y, X]. What processors of this model are told beside, the size knows."""
        (image,) = images
        grid = self.size(triptych.ImageFacts(image.height, image.width), {})
        pixels_CYX = torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1)
        side = self.size.patch
        pixels_CYX = interpolate(pixels_CYX[None], (grid.h * side, grid.w * side), mode="bicubic")[0]
        mean_C11, deviation_C11 = (torch.tensor(each)[:, None, None] for each in (MEAN, DEVIATION))
        return {"pixel_values": ((pixels_CYX / 255 - mean_C11) / deviation_C11)[None]}


def _load(size: Any, folder: Path | None) -> triptych.ImageProcessor:
    return triptych.ImageProcessor(
        Resized(size), origin=str(folder / "params.json") if folder else "as the config says"
    )
