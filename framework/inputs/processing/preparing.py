"""Items of a model that a spec describes, through the checkpoint's own processors: each alone, its grid beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from triptych.errors import InputError, Problem
from triptych.inputs.media import (
    AudioProcessorItems,
    ImageProcessorItems,
    ModalityDataItems,
    Video,
    VideoProcessorItems,
)
from triptych.inputs.media.audio import Waveform
from triptych.inputs.media.keywords import Scope
from triptych.inputs.processing.context import InputProcessingContext
from triptych.spec.item_facts import AudioFacts, ImageFacts, ItemFacts, VideoFacts

GRID = "_grid"  # what the key of the grids of a modality's items ends in


def facts_of(items: ModalityDataItems[object], index: int) -> ItemFacts:
    """What is known of an item that no processor has seen. Raises InputError for one that is known by its id alone."""
    match items:
        case ImageProcessorItems():
            return _of_image(items.given(index))
        case VideoProcessorItems():
            return _of_video(items.given(index))
        case AudioProcessorItems():
            return AudioFacts(items.get_audio_length(index))
    raise AssertionError("a modality that the parser reads and no formula counts")


def prepare_items(
    ctx: InputProcessingContext,
    given: Mapping[str, Sequence[object]],
    keywords: Mapping[Scope, Mapping[str, object]],
) -> dict[str, list[Tensor]]:
    """Tensors of each modality under its name, and under `image_grid` and the like what they do not show.

    `given` are images, frames of videos and waveforms under `images`, `videos` and `audio`, as `keywords` for their
    processors are.
    """
    found: dict[str, list[Tensor]] = {}
    if images := [image for image in given.get("images", ()) if isinstance(image, Image.Image)]:
        found |= _images(ctx, images, keywords["images"])
    if videos := [video for video in given.get("videos", ()) if isinstance(video, np.ndarray)]:
        found |= _videos(ctx, videos, keywords["videos"])
    if sounds := [sound for sound in given.get("audio", ()) if isinstance(sound, np.ndarray)]:
        found |= _sounds(ctx, sounds, keywords["audio"])
    return found


def _images(
    ctx: InputProcessingContext, images: Sequence[Image.Image], keywords: Mapping[str, object]
) -> dict[str, list[Tensor]]:
    prepare = ctx.image_processor
    accepted = prepare.accepted({**ctx.tokens["image"].keywords, **keywords})
    tensors = [prepare(image, name=f"image[{i}]", **accepted) for i, image in enumerate(images)]
    return {"image": tensors, **_grids(ctx, "image", [_of_image(image) for image in images])}


def _videos(
    ctx: InputProcessingContext, videos: Sequence[NDArray[np.uint8]], keywords: Mapping[str, object]
) -> dict[str, list[Tensor]]:
    prepare = ctx.image_processor
    accepted = prepare.accepted({**ctx.tokens["video"].keywords, **keywords})
    tensors = [prepare.frames(video, name=f"video[{i}]", **accepted) for i, video in enumerate(videos)]
    return {"video": tensors, **_grids(ctx, "video", [VideoFacts(*video.shape[:3]) for video in videos])}


def _sounds(
    ctx: InputProcessingContext, sounds: Sequence[Waveform], keywords: Mapping[str, object]
) -> dict[str, list[Tensor]]:
    extract, named = ctx.feature_extractor, {f"audio[{i}]": sound for i, sound in enumerate(sounds)}
    for name, sound in named.items():
        _check_counted(ctx, sound, name)
    accepted = extract.accepted({**ctx.tokens["audio"].keywords, **keywords})
    tensors = [extract(sound, name=name, **accepted) for name, sound in named.items()]
    return {"audio": tensors, **_grids(ctx, "audio", [AudioFacts(len(sound)) for sound in sounds])}


def _check_counted(ctx: InputProcessingContext, sound: Waveform, name: str) -> None:
    """Raise InputError for a sound that is too long or too short, before anything is made of it."""
    try:
        ctx.tokens["audio"].count(AudioFacts(len(sound)), ctx.processor_config("audio"))
    except InputError as error:
        raise InputError(Problem(problem.message, name) for problem in error.problems) from error


def _grids(ctx: InputProcessingContext, modality: str, facts: Sequence[ItemFacts]) -> dict[str, list[Tensor]]:
    rule = ctx.tokens[modality]
    if rule.told is None or (grid := rule.grid) is None:
        return {}
    return {f"{modality}{GRID}": [torch.tensor([*grid(each, ctx.processor_config(modality))]) for each in facts]}


def _of_image(image: Image.Image) -> ImageFacts:
    return ImageFacts(image.height, image.width)


def _of_video(video: Video) -> VideoFacts:
    frames, height, width, _ = video.frames.shape
    fps = (video.metadata or {}).get("fps")
    return VideoFacts(frames, height, width, float(fps) if isinstance(fps, int | float) else None)
