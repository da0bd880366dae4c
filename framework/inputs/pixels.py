"""The pixels of a Pillow image where they lie in memory, which to copy takes as long as to hash."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

from PIL import Image

STRIP = 2**16  # bytes that are copied at a time, where pixels do not lie in one piece


class _ArrowArray(ctypes.Structure):
    """An array as the Arrow C data interface has it: https://arrow.apache.org/docs/format/CDataInterface.html."""


_ArrowArray._fields_ = [
    *[(name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")],
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
    *[(name, ctypes.c_void_p) for name in ("dictionary", "release", "private_data")],
]
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def pixels_of(image: Image.Image) -> Iterator[bytes | memoryview]:
    """What tells the pixels of an RGB image from others: how they lie, and their bytes, in pieces.

    In one piece Pillow has a fourth byte in each pixel; a large image lies in several, of which copies are given. A
    piece is there until the next is asked for.
    """
    image.load()
    try:
        array: Any = image.__arrow_c_array__()[1]
    except (AttributeError, ValueError):  # an older Pillow, or several pieces
        yield f"RGB {image.size}:".encode()
        yield from _strips(image)
        return
    yield f"RGBX {image.size}:".encode()
    yield _in_place(array)
    del array  # which owns the pixels while they are read


def _in_place(array: object) -> memoryview:
    """The bytes of pixels of 4 each: one list, whose numbers are in the second buffer of its child."""
    pixels = ctypes.cast(_pointer(array, b"arrow_array"), ctypes.POINTER(_ArrowArray)).contents
    numbers = pixels.children[0].contents
    return memoryview((ctypes.c_uint8 * numbers.length).from_address(numbers.buffers[1])).cast("B")


def _strips(image: Image.Image) -> Iterator[bytes]:
    """Some rows at a time: memory for all of them at once costs more than to hash them."""
    rows = max(1, STRIP // (3 * image.width))
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height))).tobytes()
