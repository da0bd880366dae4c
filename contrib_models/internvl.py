"""How InternVL is shown images where its makers' files are read: by the processor that transformers has for it.

Their own cutting of images stands in an example beside their code, and its limits in the config of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import triptych

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class InternVLChatInfo(triptych.SpecProcessingInfo):
    """As the spec says; how many tiles an image may have the config does."""

    def __init__(self, ctx: triptych.InputProcessingContext) -> None:
        super().__init__(replace(ctx, load_images=partial(_load, ctx.config)))


class InternVLChatProcessor(triptych.SpecProcessor):
    """As the spec says."""

    Info: ClassVar[type[InternVLChatInfo]] = InternVLChatInfo


def _load(config: Mapping[str, Any], folder: Path | None) -> triptych.ImageProcessor:
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    side = config.get("force_image_size") or config["vision_config"]["image_size"]
    processor = GotOcr2ImageProcessorPil(
        size={"height": side, "width": side},
        min_patches=config.get("min_dynamic_patch", 1),
        max_patches=config.get("max_dynamic_patch", 6),
        crop_to_patches=True,
        image_mean=MEAN,
        image_std=DEVIATION,
    )
    return triptych.ImageProcessor(processor, origin=str(folder / "config.json") if folder else "as the config says")
