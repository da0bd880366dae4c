"""Images of a prompt: Pillow images, files and arrays of bytes, alone or several, all read as RGB."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from PIL import Image

from triptych.inputs.images import open_image
from triptych.inputs.media.items import ProcessorItems
from triptych.inputs.media.reading import is_array, is_list, read_each


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


def read_images(data: object, *, modality: str = "image") -> ImageProcessorItems:
    """One image, a list of them, or an array [images, ...] that is cut along dim 0.

    Arrays have their channels last where that dim is 1, 3 or 4, else first. Raises InputError with every image that is
    none, that is too large, or too long and narrow.
    """
    entries = list(data) if is_list(data) or is_array(data, 4) else [data]
    return ImageProcessorItems(read_each(entries, _read, modality=modality), modality=modality)


def _read(entry: object, name: str) -> Image.Image:
    return open_image(entry, name=name)
