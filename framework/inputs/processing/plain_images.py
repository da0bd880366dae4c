"""Images -> tensors by a few plain steps, for checkpoints whose image processor does no more than those.

They give, to the bit, what transformers' classes for Pillow do, whose import takes longer than a small model runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from triptych.errors import CheckpointError
from triptych.inputs.processing.plain_steps import CHANNELS, Sides, Steps, settings_of, steps_of
from triptych.spec.json_file import read_json
from triptych.whole_file import write_whole

FILE, WITHIN = "preprocessor_config.json", "processor_config.json"  # the second has it among other processors


class PlainKeywords(TypedDict, total=False):
    """What a call may be told, as transformers' `ImagesKwargs` has it."""

    do_convert_rgb: object
    do_resize: object
    size: object
    default_to_square: object
    crop_size: object
    resample: object
    do_rescale: object
    rescale_factor: object
    do_normalize: object
    image_mean: object
    image_std: object
    do_pad: object
    pad_size: object
    do_center_crop: object
    data_format: object
    input_data_format: object
    device: object
    return_tensors: object
    disable_grouping: object
    image_seq_length: object


class PlainImages:
    """An image processor of these `settings`. What it is told that it does not read, `others` makes a processor for."""

    valid_kwargs = PlainKeywords

    def __init__(self, settings: Mapping[str, Any], *, others: Callable[[], Any]) -> None:
        self._settings = dict(settings)
        self._others = others

    def __call__(self, images: Sequence[Image.Image], **keywords: Any) -> Mapping[str, Any]:
        """`pixel_values` [images, 3, Y, X], as transformers' class gives them with `return_tensors="pt"`."""
        steps = steps_of({**self._settings, **keywords})
        if steps is None or any(image.mode != "RGB" for image in images):
            found: Mapping[str, Any] = self._others()(images=images, **keywords)
            return found
        return {"pixel_values": torch.stack([prepared(image, steps) for image in images])}

    def to_dict(self) -> dict[str, Any]:
        """What it is set to."""
        return dict(self._settings)

    def save_pretrained(self, folder: Path) -> None:
        """Write what it is set to, as transformers does."""
        write_whole(folder / FILE, json.dumps(self._settings, indent=2, sort_keys=True) + "\n")


def load_plain(folder: Path, *, others: Callable[[], Any]) -> PlainImages | None:
    """The image processor of a checkpoint folder; None where it does more than plain steps, or its file is no good."""
    return plain_images(_said(folder), others=others)


def plain_images(said: Mapping[str, Any], *, others: Callable[[], Any]) -> PlainImages | None:
    """That which a file's settings describe, or None."""
    settings = settings_of(said)
    return None if settings is None else PlainImages(settings, others=others)


def prepared(image: Image.Image, steps: Steps) -> Tensor:
    """One RGB image as [3, Y, X]: float32, or bytes where numbers stay as they are."""
    if steps.resize is not None:
        height, width = _target(image, steps.resize)
        image = image.resize((width, height), steps.resample)
    pixels = np.asarray(image)
    if steps.crop is not None:
        pixels = _cropped(pixels, steps.crop)
    values = [_values(steps, channel)[pixels[..., channel]] for channel in range(CHANNELS)]
    return torch.from_numpy(np.stack(values))


def _said(folder: Path) -> Mapping[str, Any]:
    """What the folder's files say of images; nothing where they cannot be read."""
    try:
        within = read_json(folder / WITHIN).get("image_processor") if (folder / WITHIN).is_file() else None
        if within is not None:
            return within if isinstance(within, dict) else {}
        return read_json(folder / FILE) if (folder / FILE).is_file() else {}
    except CheckpointError:  # which transformers tells of
        return {}


def _target(image: Image.Image, size: Sides | int) -> Sides:
    """Height and width to resize to: those, or with a shorter side of so many pixels."""
    if isinstance(size, tuple):
        return size
    short, long = sorted(image.size)
    other = int(size * long / short)
    return (other, size) if image.width <= image.height else (size, other)


def _cropped(pixels_YXC: NDArray[np.uint8], sides: Sides) -> NDArray[np.uint8]:
    """The middle; what is smaller gets black around it, one more row or column of it before than after if need be."""
    for axis, side in enumerate(sides):
        there = pixels_YXC.shape[axis]
        before, start = max(0, side - there + 1) // 2, max(0, there - side) // 2
        pixels_YXC = pixels_YXC.take(range(start, start + min(there, side)), axis)
        around = [(0, 0)] * 3
        around[axis] = (before, max(0, side - there) - before)
        pixels_YXC = np.pad(pixels_YXC, around)
    return pixels_YXC


def _values(steps: Steps, channel: int) -> NDArray[np.float32] | NDArray[np.uint8]:
    """What becomes of each of the 256 numbers that a pixel may have in a channel."""
    numbers = np.arange(256, dtype=np.uint8)
    if steps.rescale is not None:
        scaled = (numbers.astype(np.float64) * steps.rescale).astype(np.float32)
    elif steps.normalize is not None:
        scaled = numbers.astype(np.float32)
    else:
        return numbers
    if steps.normalize is None:
        return scaled
    mean, std = (np.float32(each[channel]) for each in steps.normalize)
    return (scaled - mean) / std
