"""Images -> vectors of patches, cut into slices beside a small picture of the whole.

For checkpoints whose own image processor is code of their folder, which is never run: what is done to an image stands
in its `preprocessor_config.json`, and how it is cut in the size of the spec.
"""
# Y, X pixels, C channels, h, w lines and columns of patches, P numbers of a patch

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from triptych.inputs.folder import read_json_if_any
from triptych.inputs.processing.image_processor import ImageProcessor
from triptych.parts.slices import SliceGrid, Slices
from triptych.spec.item_facts import ImageFacts, VideoFacts

FILE = "preprocessor_config.json"
MIDDLE = (0.5, 0.5, 0.5)  # mean and deviation of a channel, unless the file says other


def load_slicer(size: Slices) -> Callable[[Path | None], ImageProcessor]:
    """What makes the image processor of a checkpoint folder, or of none, one that cuts images as `size` says."""

    def load(folder: Path | None) -> ImageProcessor:
        config = read_json_if_any(folder / FILE) if folder else {}
        return ImageProcessor(Slicer(size, config), origin=str(folder / FILE) if folder else "as the spec's size asks")

    return load


class Slicer:
    """An image processor. `config` is what the checkpoint's own was set to: `norm_mean` and `norm_std`, and limits."""

    def __init__(self, size: Slices, config: Mapping[str, Any]) -> None:
        self.size, self.config = size, dict(config)

    def to_dict(self) -> dict[str, Any]:
        return self.config

    def __call__(
        self,
        images: Sequence[Image.Image],
        return_tensors: str = "pt",  # noqa: ARG002
        *,
        whole: bool = False,
    ) -> dict[str, Tensor]:
        """Vectors [n, P] of the pictures of one image, in RGB, one picture after the other; of the `whole` alone."""
        (image,) = images
        sides = image.height, image.width
        grid = self.size(VideoFacts(1, *sides) if whole else ImageFacts(*sides), self.config)
        return {"pixel_values": torch.cat([self._vectors(picture) for picture in self._pictures(image, grid)])}

    def _pictures(self, image: Image.Image, grid: SliceGrid) -> list[Image.Image]:
        """The whole, then the slices line by line."""
        canvas = self._resized(image, grid.down * grid.high, grid.across * grid.wide) if grid.down else image
        high, wide = grid.high * self.size.patch, grid.wide * self.size.patch
        corners = [(x * wide, y * high) for y in range(grid.down) for x in range(grid.across)]
        slices = [canvas.crop((x, y, x + wide, y + high)) for x, y in corners]
        return [self._resized(image, grid.h, grid.w), *slices]

    def _resized(self, image: Image.Image, h: int, w: int) -> Image.Image:
        return image.resize((w * self.size.patch, h * self.size.patch), Image.Resampling.BICUBIC)

    def _vectors(self, picture: Image.Image) -> Tensor:
        """A flat patch for each place, line by line, channel by channel in it."""
        mean, deviation = (np.array(self.config.get(key) or MIDDLE, np.float32) for key in ("norm_mean", "norm_std"))
        pixels_YXC = (np.asarray(picture, np.float32) / 255 - mean) / deviation
        patch = self.size.patch
        h, w = picture.height // patch, picture.width // patch
        places_hwCyx = pixels_YXC.reshape(h, patch, w, patch, -1).transpose(0, 2, 4, 1, 3)
        return torch.from_numpy(np.ascontiguousarray(places_hwCyx.reshape(h * w, -1)))
