"""Images of a prompt: Pillow images, files and arrays of bytes, alone or several, all read as RGB."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from PIL import ExifTags, Image

from triptych.inputs.images import check_size, open_image
from triptych.inputs.media.items import ProcessorItems
from triptych.inputs.media.originals import Content, Original, OriginalsRead
from triptych.inputs.media.reading import is_array, is_list, read_each

ORIENTATION = ExifTags.Base.Orientation


class ImageSize(NamedTuple):
    """Of an image or of the frames of a video, in pixels."""

    width: int
    height: int


class ImageProcessorItems(ProcessorItems[Image.Image]):
    """Images in RGB."""

    key: ClassVar[str] = "images"

    def get_image_size(self, index: int) -> ImageSize:
        """Width and height of an image. Raises InputError for one that is known by its id alone."""
        return ImageSize(*self.given(index).size)


def read_images(
    data: object, *, modality: str = "image", originals: OriginalsRead | None = None
) -> ImageProcessorItems:
    """One image, a list of them, or an array [images, ...] that is cut along dim 0; files, or what is in them as bytes.

    Arrays have their channels last where that dim is 1, 3 or 4, else first. What is one of the `originals` is read
    when it is asked for. Raises InputError with every image that is none, that is too large, or too long and narrow.
    """
    entries = list(data) if is_list(data) or is_array(data, 4) else [data]
    read = partial(_read, originals=originals or OriginalsRead())
    return ImageProcessorItems(read_each(entries, read, modality=modality), modality=modality)


def _read(entry: object, name: str, *, originals: OriginalsRead) -> Image.Image | Original[Image.Image]:
    read = partial(open_image, entry, name=name)
    if (content := _content(entry, name)) is None:
        return read()
    return originals.item(content, read, modality="image", name=name)


def _content(entry: object, name: str) -> Content | None:
    """What an image is named by; None for one that is named when it is read. An image may have to be decoded for it."""
    match entry:
        case str() | os.PathLike():
            return Path(entry)
        case bytes():
            return entry
        case np.ndarray(dtype=np.uint8, ndim=3):
            return entry
        case Image.Image(mode="RGB"):
            check_size(entry.height, entry.width, name=name)
            return entry if _is_upright(entry) else None
    return None


def _is_upright(image: Image.Image) -> bool:
    """Whether it is read as it lies. What is wrong with one that cannot be decoded is said where it is read."""
    try:
        return image.getexif().get(ORIENTATION) not in range(2, 9)
    except Exception:
        return False
