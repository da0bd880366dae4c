"""Images as users give them -> Pillow images in RGB, their size bounded before a pixel is decoded."""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from triptych.errors import InputError, InputTypeError

ImageInput = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8] | Tensor
"""A file, what is in one, a `data:` URL, a Pillow image, or an array of bytes: [height, width, 1 | 3 | 4], else
[1 | 3 | 4, height, width]."""

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # none that starts another program, as EPS does
KINDS = f"{', '.join(kind for kind in FORMATS[:-1] if kind != 'MPO')} or {FORMATS[-1]}"
CHANNELS = (1, 3, 4)  # grey; red, green, blue; those and alpha
MAX_PIXELS = 64 * 2**20
MAX_RATIO = 200  # resizing by the shorter side makes the longer one this many times as long


def open_image(image: object, *, name: str, ratio: int | None = MAX_RATIO) -> Image.Image:
    """An image in RGB, its pixels read, upright where its EXIF data say how it was held; an array has none.

    One side of a file is at most `ratio` times the other, where that is not None. Raises InputError that says `name`,
    what was found and what would do.
    """
    match image:
        case str() | os.PathLike():
            return _open_file(Path(image), name, ratio)
        case bytes():
            return _open(BytesIO(image), name, ratio)
        case Image.Image():
            return _from_pillow(image, name)
        case np.ndarray() | Tensor():
            return _from_array(np.asarray(image.cpu() if isinstance(image, Tensor) else image), name)
    found = type(image).__name__
    raise InputTypeError(f"is {found}; a file, a Pillow image or an array of bytes is needed", path=name)


def is_image_file(value: object) -> bool:
    """Whether a value names a file that should hold a picture, by the end of its name."""
    if not isinstance(value, str | os.PathLike):
        return False
    _read_by()
    return Image.EXTENSION.get(Path(value).suffix.lower()) in FORMATS


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


def check_size(height: int, width: int, *, name: str, ratio: int | None = MAX_RATIO) -> None:
    """Raise InputError for no pixels, too many, or a side far longer than the other."""
    size = f"{width} x {height}"
    if min(height, width) < 1:
        raise InputError(f"is {size} and has no pixels", path=name)
    if (pixels := height * width) > MAX_PIXELS:
        raise InputError(f"is {size}, that is {pixels:,} pixels; at most {MAX_PIXELS:,} are read", path=name)
    if ratio is not None and max(height, width) > ratio * min(height, width):
        raise InputError(f"is {size}; one side may be at most {ratio} times the other", path=name)


@cache
def _read_by() -> list[str]:
    """The formats that this Pillow reads. Their modules alone are imported, of about fifty."""
    Image.preinit()
    for name in ("Mpo", "Tiff", "WebP"):
        import_module(f"PIL.{name}ImagePlugin")
    return [known for known in FORMATS if known in Image.OPEN]


def _open_file(file: Path, name: str, ratio: int | None) -> Image.Image:
    if not file.is_file():
        raise InputError("there is no such file", path=name)
    return _open(file, name, ratio)


def _open(file: Path | BytesIO, name: str, ratio: int | None) -> Image.Image:
    known = _read_by()
    try:
        with warnings.catch_warnings():  # sizes are bounded below, before any pixel is decoded
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(file, formats=known)
        with opened:
            check_size(opened.height, opened.width, name=name, ratio=ratio)
            return _upright(opened)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"cannot be read as an image: it begins like no {KINDS}", path=name) from error
    except Image.DecompressionBombError as error:
        raise InputError(f"is too large: {error}", path=name) from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise InputError(f"cannot be read as an image: {error}", path=name) from error


def _from_pillow(image: Image.Image, name: str) -> Image.Image:
    check_size(image.height, image.width, name=name)
    try:
        return _upright(image)  # where an image that was opened and never read is decoded
    except Exception as error:
        raise InputError(f"cannot be read as an image: {error}", path=name) from error


def _upright(image: Image.Image) -> Image.Image:
    """A copy in RGB, turned as its EXIF orientation says, which is then gone: read again it is not turned twice."""
    turned = ImageOps.exif_transpose(image)
    return turned if turned.mode == "RGB" else turned.convert("RGB")


def _from_array(array: NDArray[np.generic], name: str) -> Image.Image:
    if array.ndim != 3:
        shape = f"{array.dtype} {list(array.shape)}"
        raise InputError(f"is {shape}; bytes (uint8, 0 to 255) [height, width, channels] are needed", path=name)
    pixels = channels_last(array, name=name)
    flat = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    return Image.fromarray(np.ascontiguousarray(flat)).convert("RGB")
