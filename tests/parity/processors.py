"""Processors of the reference's classes with images, made for a tiny config, and how prompts for each are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from transformers import (
    Gemma3Processor,
    Idefics3Processor,
    InternVLProcessor,
    LlavaNextProcessor,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    PaliGemmaProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from tests.parity.vocabularies import IMAGE, VIDEO, lines, words
from tests.parity.without_torchvision import pixtral_processor

INTERNVL = ("<img>", "</img>", "<IMG_CONTEXT>", VIDEO)
IDEFICS3 = (
    *("<fake_token_around_image>", "<global-img>", "<end_of_utterance>"),
    *(f"<row_{line}_col_{column}>" for line in range(1, 4) for column in range(1, 4)),
)
PIXTRAL = ("[IMG]", "[IMG_BREAK]", "[IMG_END]")
Draw = np.random.Generator
Given = Mapping[str, torch.Tensor]


def between(pieces: list[str], images: int, draw: Draw, token: str) -> str:
    """Images wherever they fall between words."""
    for place in sorted(draw.choice(len(pieces) + 1, images, replace=False), reverse=True):
        pieces.insert(place, token)
    return " ".join(pieces)


def after_a_newline(pieces: list[str], images: int, draw: Draw, token: str) -> str:  # noqa: ARG001
    """The first image after a newline, the others wherever they fall."""
    start = "<start_of_image>"
    return between(pieces, images, draw, start).replace(f" {start}", f"\n{start}", 1)


def before(pieces: list[str], images: int, draw: Draw, token: str) -> str:  # noqa: ARG001
    """Images first, some with a place in the text and some without."""
    return " ".join(pieces) if images == 1 else token * images + " ".join(pieces)


def plainly(processor: Any, text: str, images: list[Image]) -> Given:
    found: Given = processor(text=text, images=images or None, return_tensors="pt")
    return found


@dataclass(frozen=True)
class Family:
    """Its processor of a config, how a prompt is written and given to it, what is changed of its tiny config.

    `answer_type` is what the reference calls the type of tokens of an answer, `of` the family whose class it is.
    """

    processor: Callable[[Any], Any]
    prompt: Callable[[list[str], int, Draw, str], str] = between
    call: Callable[[Any, str, list[Image]], Given] = plainly
    config: Mapping[str, Any] = field(default_factory=dict)
    answer_type: int = 0
    of: str = ""


def _llava(config: Any) -> Any:
    if config.vision_config.model_type == "pixtral":
        return _pixtral(config)
    side, of_clip = _side(config), "clip" in config.vision_config.model_type
    images = CLIPImageProcessorPil(size={"shortest_edge": side["height"]}, crop_size=side) if of_clip else None
    return LlavaProcessor(images or SiglipImageProcessorPil(size=side), words(config), **_strategy(config))


def _llava_next(config: Any) -> LlavaNextProcessor:
    side = _side(config)
    tiles = {"crop_size": side, "image_grid_pinpoints": config.image_grid_pinpoints}
    images = LlavaNextImageProcessorPil(size={"shortest_edge": side["height"]}, **tiles)
    return LlavaNextProcessor(images, words(config), **_strategy(config))


class WithoutVideos(LlavaOnevisionProcessor):
    """Its processor of videos needs torchvision, so there is none to be made or saved."""

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> None:  # noqa: ARG002
        self.image_processor.save_pretrained(save_directory)
        self.tokenizer.save_pretrained(save_directory)


class WithoutVideoProcessor(InternVLProcessor):
    """The same."""

    save_pretrained = WithoutVideos.save_pretrained


def _llava_onevision(config: Any) -> LlavaOnevisionProcessor:
    side = _side(config)
    images = LlavaOnevisionImageProcessorPil(size=side, image_grid_pinpoints=config.image_grid_pinpoints)
    found = WithoutVideos.__new__(WithoutVideos)
    found.__dict__ |= vars(LlavaProcessor(images, words(config)))
    found.num_image_tokens = (side["height"] // config.vision_config.patch_size) ** 2
    found.video_token, found.vision_feature_select_strategy, found.vision_aspect_ratio = (
        VIDEO,
        "full",
        config.vision_aspect_ratio,
    )
    return found


def _pixtral(config: Any) -> Any:
    patch, edge = config.vision_config.patch_size, config.vision_config.image_size
    merge = getattr(config, "spatial_merge_size", 1)
    images = PixtralImageProcessorPil(size={"longest_edge": edge}, patch_size={"height": patch, "width": patch})
    return pixtral_processor()(images, words(config, *PIXTRAL), patch_size=patch, spatial_merge_size=merge)


def _internvl(config: Any) -> InternVLProcessor:
    height, width = config.vision_config.image_size
    patches = (height // config.vision_config.patch_size[0]) ** 2
    images = GotOcr2ImageProcessorPil(size={"height": height, "width": width}, max_patches=5)
    found = WithoutVideoProcessor.__new__(WithoutVideoProcessor)
    start, end, target, video = INTERNVL
    found.__dict__ |= vars(LlavaProcessor(images, words(config, *INTERNVL)))
    found.image_seq_length = int(patches * config.downsample_ratio**2)
    found.start_image_token, found.end_image_token, found.image_token, found.video_token = start, end, target, video
    found.image_token_id = config.image_token_id
    found.multimodal_pattern = re.compile(f"(?P<image>{target})|(?P<video>{video})")
    return found


def _idefics3(config: Any) -> Idefics3Processor:
    side, patch = config.vision_config.image_size, config.vision_config.patch_size
    images = Idefics3ImageProcessorPil(size={"longest_edge": 3 * side}, max_image_size={"longest_edge": side})
    return Idefics3Processor(
        images, words(config, *IDEFICS3), image_seq_len=(side // patch // config.scale_factor) ** 2
    )


CROPS = {
    "do_pan_and_scan": True,
    "pan_and_scan_min_crop_size": 12,
    "pan_and_scan_max_num_crops": 3,
    "pan_and_scan_min_ratio_to_activate": 1.6,
}
CROP_WORDS = ["Here", "is", "the", "original", "image", "and", "are", "some", "crops"]
CROP_WORDS += ["to", "help", "you", "see", "better"]


def _gemma3(config: Any, **crops: Any) -> Gemma3Processor:
    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    ids = (config.boi_token_index, config.eoi_token_index, config.image_token_index)
    special = dict(zip(ids, named.values(), strict=True))
    return Gemma3Processor(
        Gemma3ImageProcessorPil(size=_side(config), **crops),
        lines(config, special, own=dict(enumerate(CROP_WORDS, 210)), **named),
        image_seq_length=config.mm_tokens_per_image,
    )


def _paligemma(config: Any) -> PaliGemmaProcessor:
    side = _side(config)
    count = (side["height"] // config.vision_config.patch_size) ** 2
    images = SiglipImageProcessorPil(size=side, image_seq_length=count)
    return PaliGemmaProcessor(images, lines(config, {config.image_token_id: IMAGE}, begins=False, image_token=IMAGE))


def _call_paligemma(processor: Any, text: str, images: list[Image]) -> Given:
    """It takes the images of a text as one of several lists, and no text alone."""
    if images:
        return {k: torch.from_numpy(np.asarray(v)) for k, v in processor(text=[text], images=[images]).items()}
    ids = torch.tensor([processor.tokenizer(f"<bos>{text}\n")["input_ids"]])
    return {"input_ids": ids, "token_type_ids": torch.zeros_like(ids)}


def _side(config: Any) -> dict[str, int]:
    return {"height": config.vision_config.image_size, "width": config.vision_config.image_size}


def _strategy(config: Any) -> dict[str, Any]:
    """What a processor is told to count the rows of an image."""
    return {
        "patch_size": config.vision_config.patch_size,
        "vision_feature_select_strategy": config.vision_feature_select_strategy,
        "num_additional_image_tokens": int("clip" in config.vision_config.model_type),
    }


FAMILIES = {
    "Llava": Family(_llava),
    "LlavaNext": Family(_llava_next),
    "LlavaOnevision": Family(_llava_onevision),
    "InternVL": Family(_internvl),
    "Idefics3": Family(_idefics3),
    "Mistral3": Family(_pixtral),
    "Gemma3": Family(_gemma3, after_a_newline, config={"mm_tokens_per_image": 4}),
    "Gemma3, with crops": Family(
        partial(_gemma3, **CROPS),
        after_a_newline,
        lambda processor, text, images: processor(text=text, images=images or None, return_tensors="pt", **CROPS),
        {"mm_tokens_per_image": 4},
        of="Gemma3",
    ),
    "PaliGemma": Family(_paligemma, before, _call_paligemma, {"projection_dim": 64}, answer_type=1),
}
