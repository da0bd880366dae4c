"""Names for items by their content, so that what is known of one is found again.

Every value is framed by its kind and length, so that no two lists of values give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from triptych.errors import InputError
from triptych.inputs.media.videos import Video

STRIP = 2**16  # bytes of an image that are read at a time


def hash_item(
    item: object, *, model: str, modality: str, keywords: Mapping[str, object], uuid: str | None = None, salt: str = ""
) -> str:
    """The name of one item for one model: SHA-256, as 64 hexadecimal digits, of all that its tensors depend on.

    `keywords` are those of the processor for this modality. A `uuid` that the user gives stands for the content: alone
    it is the name itself, unless the request has a `salt`, which keeps its names apart from those of others. Raises
    InputError for content of a type that no item has.
    """
    if uuid is not None and not keywords and not salt:
        return uuid
    content = ("uuid", uuid) if uuid is not None else ("content", item)
    digest = hashlib.sha256()
    for piece in _frames([salt, model, modality, *content, dict(keywords)]):
        digest.update(piece)
    return digest.hexdigest()


def _frames(value: object) -> Iterator[bytes | memoryview]:
    match value:
        case None | bool() | int() | float() | str():
            yield from _frame(type(value).__name__, repr(value).encode())
        case bytes():
            yield from _frame("bytes", value)
        case Image.Image(mode="RGB"):
            yield from _frame("list", b"2")
            yield from _frames(value.mode)
            yield f"array |u1 {(value.height, value.width, 3)}:{value.height * value.width * 3}:".encode()
            yield from _strips(value)
        case Image.Image():
            yield from _frames([value.mode, np.asarray(value)])
        case Video():
            yield from _frame("video", b"")
            yield from _frames([value.frames, value.metadata])
        case Tensor():
            flat = value.detach().cpu().contiguous().view(-1).view(torch.uint8)  # bfloat16 has no array of its own
            yield from _frames([str(value.dtype), list(value.shape), flat.numpy()])
        case np.ndarray() | np.generic():
            array = np.ascontiguousarray(value)
            yield from _frame(f"array {array.dtype.str} {np.shape(value)}", array.reshape(-1).view(np.uint8).data)
        case list() | tuple():
            yield from _frame("list", str(len(value)).encode())
            yield from chain.from_iterable(map(_frames, value))
        case Mapping():
            yield from _frame("mapping", str(len(value)).encode())
            yield from chain.from_iterable(_frames([str(key), value[key]]) for key in sorted(value, key=str))
        case _:
            raise InputError(f"is {type(value).__name__}, which cannot be told by its content; give the item an id")


def _strips(image: Image.Image) -> Iterator[bytes]:
    """The bytes of an RGB image, some rows at a time: memory for all of them at once costs more than to hash them."""
    rows = max(1, STRIP // (3 * image.width))
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height))).tobytes()


def _frame(kind: str, content: bytes | memoryview) -> Iterator[bytes | memoryview]:
    yield f"{kind}:{len(content)}:".encode()
    yield content
