"""Values as bytes: each is framed by its kind and length, so that no two lists of values give the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from triptych.errors import InputError
from triptych.inputs.pixels import pixels_of


def frames_of(value: object) -> Iterator[bytes | memoryview]:
    """The bytes of a value, in pieces. Raises InputError for one of a type that no item has."""
    match value:
        case None | bool() | int() | float() | str():
            yield from _frame(type(value).__name__, repr(value).encode())
        case bytes():
            yield from _frame("bytes", value)
        case Image.Image(mode="RGB"):  # its size, which comes first, tells how long it is
            yield from chain([b"image:"], pixels_of(value))
        case Image.Image():
            yield from frames_of([value.mode, np.asarray(value)])
        case Tensor():
            flat = value.detach().cpu().contiguous().view(-1).view(torch.uint8)  # bfloat16 has no array of its own
            yield from frames_of([str(value.dtype), list(value.shape), flat.numpy()])
        case np.ndarray() | np.generic():
            array = np.ascontiguousarray(value)
            yield from _frame(f"array {array.dtype.str} {np.shape(value)}", array.reshape(-1).view(np.uint8).data)
        case list() | tuple():
            yield from _frame("list", str(len(value)).encode())
            yield from chain.from_iterable(map(frames_of, value))
        case Mapping():
            yield from _frame("mapping", str(len(value)).encode())
            yield from chain.from_iterable(frames_of([str(key), value[key]]) for key in sorted(value, key=str))
        case _:
            raise InputError(f"is {type(value).__name__}, which cannot be told by its content; give the item an id")


def _frame(kind: str, content: bytes | memoryview) -> Iterator[bytes | memoryview]:
    yield f"{kind}:{len(content)}:".encode()
    yield content
