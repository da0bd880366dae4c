"""Images -> tensors, by the checkpoint's own image processor: transformers' for Pillow, and no code of the folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from triptych.errors import CheckpointError, InputError, InputTypeError

ImageInput = str | os.PathLike[str] | Image.Image | NDArray[np.uint8] | Tensor
"""A file, a Pillow image, or an array of bytes: [height, width, 1 | 3 | 4], else [1 | 3 | 4, height, width]."""

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # none that starts another program, as EPS does
CHANNELS = (1, 3, 4)  # grey; red, green, blue; those and alpha
MAX_PIXELS = 64 * 2**20
MAX_RATIO = 200  # resizing by the shorter side makes the longer one this many times as long


@dataclass(frozen=True)
class Picture:
    """One image as the tower takes it: `pixels` [C, Y, X], and the size it had, which the token count may need."""

    pixels: Tensor
    height: int
    width: int


class ImageProcessor:
    """The image processor of a checkpoint folder. `config` is what it was set to, for token counts."""

    def __init__(self, processor: Any, *, origin: str) -> None:
        self._processor = processor
        self.origin = origin
        self.config: Mapping[str, Any] = processor.to_dict()

    def __call__(self, image: ImageInput, *, name: str) -> Picture:
        """One image, alone: it gives the same tensor whatever stands beside it. `name` says which, in errors.

        Raises InputError for what cannot be read as an image, is too large or too long and narrow.
        """
        name = f"{name} ({image})" if isinstance(image, str | os.PathLike) else name
        picture = open_image(image, name=name)
        try:
            found = self._processor(images=[picture], return_tensors="pt")["pixel_values"]
        except Exception as error:  # whatever a processor raises is about this image under these settings
            raise InputError(f"{name}: the image processor ({self.origin}) refuses it: {error}") from error
        if not isinstance(found, Tensor) or found.ndim != 4 or len(found) != 1:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(
                f"{name}: the image processor ({self.origin}) gives {shape}, and [1, channels, y, x] is needed"
            )
        return Picture(found[0], picture.height, picture.width)


def load_image_processor(folder: Path) -> ImageProcessor:
    """The image processor of a checkpoint folder. Raises CheckpointError when it has none that can be used."""
    from transformers import AutoImageProcessor

    load: Callable[..., Any] = AutoImageProcessor.from_pretrained
    try:
        found = load(folder, backend="pil", trust_remote_code=False, local_files_only=True)
    except Exception as error:  # whatever a missing or broken file makes transformers raise
        raise CheckpointError(f"{folder}: has no image processor that can be used: {error}") from error
    return ImageProcessor(found, origin=str(folder))


def open_image(image: ImageInput, *, name: str) -> Image.Image:
    """An image in RGB, its pixels read. Raises InputError that says `name`, what was found and what would do."""
    match image:
        case str() | os.PathLike():
            return _open_file(Path(image), name)
        case Image.Image():
            return _from_pillow(image, name)
        case np.ndarray() | Tensor():
            return _from_array(np.asarray(image.cpu() if isinstance(image, Tensor) else image), name)
    found = type(image).__name__
    raise InputTypeError(f"is {found}; a file, a Pillow image or an array of bytes is needed", path=name)


def channels_last(array: NDArray[np.generic], *, name: str) -> NDArray[np.uint8]:
    """Bytes [..., height, width, 1 | 3 | 4]: a view of an array that has its channels there, else before the sides.

    Raises InputError for other numbers than bytes, for other channels, and for a size that is not read.
    """
    if array.dtype != np.uint8:
        shape = f"{array.dtype} {list(array.shape)}"
        raise InputError(f"is {shape}; bytes (uint8, 0 to 255) [height, width, channels] are needed", path=name)
    found = array if array.shape[-1] in CHANNELS else np.moveaxis(array, -3, -1)
    if found.shape[-1] not in CHANNELS:
        raise InputError(f"is {list(array.shape)}; 1, 3 or 4 channels, first or last, are needed", path=name)
    check_size(found.shape[-3], found.shape[-2], name=name)
    return found.view(np.uint8)


def check_size(height: int, width: int, *, name: str) -> None:
    """Raise InputError for no pixels, too many, or a side far longer than the other."""
    size = f"{width} x {height}"
    if min(height, width) < 1:
        raise InputError(f"is {size} and has no pixels", path=name)
    if (pixels := height * width) > MAX_PIXELS:
        raise InputError(f"is {size}, that is {pixels:,} pixels; at most {MAX_PIXELS:,} are read", path=name)
    if max(height, width) > MAX_RATIO * min(height, width):
        raise InputError(f"is {size}; one side may be at most {MAX_RATIO} times the other", path=name)


def _open_file(file: Path, name: str) -> Image.Image:
    if not file.is_file():
        raise InputError("there is no such file", path=name)
    Image.init()
    try:
        with warnings.catch_warnings():  # sizes are bounded below, before any pixel is decoded
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(file, formats=[known for known in FORMATS if known in Image.OPEN])
        with opened:
            check_size(opened.height, opened.width, name=name)
            return ImageOps.exif_transpose(opened).convert("RGB")
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"is too large: {error}", path=name) from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise InputError(f"cannot be read as an image: {error}", path=name) from error


def _from_pillow(image: Image.Image, name: str) -> Image.Image:
    check_size(image.height, image.width, name=name)
    try:
        return image.convert("RGB")  # where an image that was opened and never read is decoded
    except Exception as error:
        raise InputError(f"cannot be read as an image: {error}", path=name) from error


def _from_array(array: NDArray[np.generic], name: str) -> Image.Image:
    if array.ndim != 3:
        shape = f"{array.dtype} {list(array.shape)}"
        raise InputError(f"is {shape}; bytes (uint8, 0 to 255) [height, width, channels] are needed", path=name)
    pixels = channels_last(array, name=name)
    flat = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    return Image.fromarray(np.ascontiguousarray(flat)).convert("RGB")
