"""The processor `example_squares`: images become squares of pixels here, whatever a checkpoint folder holds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from triptych.inputs.processing import SpecProcessingInfo, SpecProcessor
from triptych.spec.item_facts import ImageFacts, ItemFacts


class SquareInfo(SpecProcessingInfo):
    """Counts rows by the formula of the spec alone."""

    def count(self, modality: str, item: ItemFacts) -> int:
        return self.ctx.tokens[modality].count(item, {})


class SquareProcessor(SpecProcessor):
    """The generic processor, but for the step from images to tensors."""

    Info = SquareInfo

    def _call_hf_processor(
        self,
        text: str | None,  # noqa: ARG002
        mm_data: Mapping[str, object],
        mm_kwargs: Mapping[str, Mapping[str, object]],  # noqa: ARG002
    ) -> Mapping[str, object]:
        images = mm_data["images"]
        assert isinstance(images, list)
        largest = self.info.ctx.tokens["image"].largest({})
        assert isinstance(largest, ImageFacts)
        return {"image": [as_pixels(image, side=largest.height) for image in images]}


def as_pixels(image: Image.Image, *, side: int) -> Tensor:
    """An image as [3, side, side] between -1 and 1."""
    square = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square, np.float32)).permute(2, 0, 1) / 127.5 - 1
