"""Items of a model that a spec describes, through the checkpoint's own processors: each alone, its grid beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
from triptych.spec.item_facts import UNKNOWN, AudioFacts, ImageFacts, ItemFacts, VideoFacts

GRID = "_grid"  # what the key of the grids of a modality's items ends in
SECONDS = "_seconds"  # and that of the seconds from one moment of an item to the next
TEXTS = "_texts"  # and that of all its tokens with the texts between its moments, where some rows are left out
PICTURES = (  # what a processor of videos says of each frame, as one of images takes it
    *("do_convert_rgb", "do_resize", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor"),
    *("do_normalize", "image_mean", "image_std"),
)
OF_VIDEOS = (  # what is said of videos alone: which frames are taken, and how large they may be
    *("num_frames", "fps", "do_sample_frames", "min_frames", "max_frames"),
    *("min_pixels", "max_pixels", "cap_pixels_per_frame", "max_video_tokens"),
)


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

    `given` are images, videos and waveforms under `images`, `videos` and `audio`, as `keywords` for their processors
    are.
    """
    found: dict[str, list[Tensor]] = {}
    if images := [image for image in given.get("images", ()) if isinstance(image, Image.Image)]:
        found |= _images(ctx, images, keywords["images"])
    if videos := [video for video in given.get("videos", ()) if isinstance(video, Video)]:
        found |= _videos(ctx, videos, keywords["videos"])
    if sounds := [sound for sound in given.get("audio", ()) if isinstance(sound, np.ndarray)]:
        found |= _sounds(ctx, sounds, keywords["audio"])
    return found


def _images(
    ctx: InputProcessingContext, images: Sequence[Image.Image], keywords: Mapping[str, object]
) -> dict[str, list[Tensor]]:
    prepare, rule, config = ctx.image_processor, ctx.tokens["image"], ctx.processor_config("image")
    said = {word: config[word] for word in rule.defaults}
    accepted = prepare.accepted({**said, **rule.keywords, **keywords})
    tensors = [prepare(image, name=f"image[{i}]", **accepted) for i, image in enumerate(images)]
    return {"image": tensors, **_grids(ctx, "image", [_of_image(image) for image in images])}


def _videos(
    ctx: InputProcessingContext, videos: Sequence[Video], keywords: Mapping[str, object]
) -> dict[str, list[Tensor]]:
    rule, facts = ctx.tokens["video"], [*map(_of_video, videos)]
    for i, each in enumerate(facts):
        _check_counted(ctx, "video", each, f"video[{i}]")
    tensors = [_frames(ctx, video, keywords, name=f"video[{i}]") for i, video in enumerate(videos)]
    found = {"video": tensors, **_grids(ctx, "video", facts)}
    if rule.told is None or not rule.together:
        return found
    return {**found, f"video{SECONDS}": [torch.tensor(rule.together / (each.fps or UNKNOWN)) for each in facts]}


def _frames(ctx: InputProcessingContext, video: Video, keywords: Mapping[str, object], *, name: str) -> Tensor:
    """The frames of one video as the processor of images prepares each, told what the one of videos is."""
    rule, config, facts = ctx.tokens["video"], ctx.processor_config("video"), _of_video(video)
    said = {word: config[word] for word in (*PICTURES, "size") if config.get(word) is not None}
    others = {word: value for word, value in keywords.items() if word not in OF_VIDEOS}
    accepted = ctx.image_processor.accepted({**said, **rule.keywords, **others, **rule.prepared(facts, config)})
    frames: Iterable[NDArray[np.uint8]] = video.frames
    if rule.sized is not None:
        resample = config.get("resample", ctx.image_processor.config.get("resample"))
        frames = (_resized(frame, rule.sized(facts, config), resample) for frame in video.frames)
    return ctx.image_processor.frames(frames, name=name, together=rule.together, **accepted)


def _resized(frame: NDArray[np.uint8], size: tuple[int, int], resample: int | None) -> NDArray[np.uint8]:
    """A frame in another height and width, as Pillow makes it."""
    height, width = size
    return np.asarray(Image.fromarray(frame).resize((width, height), resample))


def _sounds(
    ctx: InputProcessingContext, sounds: Sequence[Waveform], keywords: Mapping[str, object]
) -> dict[str, list[Tensor]]:
    extract, named = ctx.feature_extractor, {f"audio[{i}]": sound for i, sound in enumerate(sounds)}
    for name, sound in named.items():
        _check_counted(ctx, "audio", AudioFacts(len(sound)), name)
    accepted = extract.accepted({**ctx.tokens["audio"].keywords, **keywords})
    tensors = [extract(sound, name=name, **accepted) for name, sound in named.items()]
    return {"audio": tensors, **_grids(ctx, "audio", [AudioFacts(len(sound)) for sound in sounds])}


def _check_counted(ctx: InputProcessingContext, modality: str, item: ItemFacts, name: str) -> None:
    """Raise InputError for an item that is too long or too short, before anything is made of it."""
    try:
        ctx.tokens[modality].count(item, ctx.processor_config(modality))
    except InputError as error:
        raise InputError(Problem(problem.message, name) for problem in error.problems) from error


def _grids(ctx: InputProcessingContext, modality: str, facts: Sequence[ItemFacts]) -> dict[str, list[Tensor]]:
    rule, config = ctx.tokens[modality], ctx.processor_config(modality)
    if rule.told is None or (grid := rule.grid) is None:
        return {}
    return {f"{modality}{GRID}": [torch.tensor([*grid(each, config)]) for each in facts]}


def _of_image(image: Image.Image) -> ImageFacts:
    return ImageFacts(image.height, image.width)


def _of_video(video: Video) -> VideoFacts:
    frames, height, width, _ = video.frames.shape
    return VideoFacts(frames, height, width, video.fps, video.times)
