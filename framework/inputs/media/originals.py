"""What items are given as: named by what is there, and not read again where it was read without a fault before."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triptych.errors import InputError
from triptych.inputs.digests import digest_of, digest_of_file
from triptych.inputs.framing import frames_of

Content: TypeAlias = Path | bytes | Image.Image | NDArray[np.uint8]
"""A file, what is in one, or pixels in memory."""

MOST_NAMES = 2**16  # of what was read, 32 bytes each
MOST_BYTES = 2**32  # of a file that is named by them: they are read in seconds
BYTES = b"bytes"  # what the name of bytes begins with: they may be those of any other name's content
T = TypeVar("T")


class Original(Generic[T]):
    """What an item is given as. `name` is a hash of it; `value` is read from it when it is first asked for."""

    def __init__(self, name: bytes, read: Callable[[], T]) -> None:
        self.name, self._read = name, read

    @cached_property
    def value(self) -> T:
        """The item. Raises InputError where what it was given as has changed since."""
        return self._read()


class OriginalsRead:
    """Names of what was read without a fault, the last `MOST_NAMES` of them. Threads may share them.

    What was fit once is fit again, so that whoever has kept what became of it need not read it.
    """

    def __init__(self) -> None:
        self._names: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._lock = Lock()

    def item(self, content: Content, read: Callable[[], T], *, modality: str, name: str) -> Original[T] | T:
        """What `read` makes of the content, now unless that was read before. `name` is for errors.

        What cannot be named, as a file that is not there, is read at once: `read` says what is wrong with it.
        """
        state = _state(content)
        if state is None or (digest := _digest(content)) is None:
            return read()
        again = partial(_unchanged, read, content, digest if state == () else state, name=name)
        found = Original(digest, again)
        if not self._is_known((modality, digest)):
            found.value = again() if isinstance(content, Path) else read()
            self._add((modality, digest))
        return found

    def _is_known(self, key: tuple[str, bytes]) -> bool:
        with self._lock:
            if known := key in self._names:
                self._names.move_to_end(key)
            return known

    def _add(self, key: tuple[str, bytes]) -> None:
        with self._lock:
            self._names[key] = None
            if len(self._names) > MOST_NAMES:
                self._names.popitem(last=False)


def _digest(content: Content) -> bytes | None:
    """A hash of the content, one for a file and its bytes; None for what cannot be read."""
    try:
        if isinstance(content, Path):
            return BYTES + digest_of_file(content)
        return BYTES + digest_of([content]) if isinstance(content, bytes) else digest_of(frames_of(content))
    except Exception:  # of a decoder, where an image was opened and never read, or OSError
        return None


def _state(content: Content) -> tuple[int, ...] | None:
    """What of a file changes when it is written, nothing of what is in memory; None for what is not named by bytes."""
    if not isinstance(content, Path):
        return ()
    if not content.is_file() or (found := os.stat(content)).st_size > MOST_BYTES:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _unchanged(read: Callable[[], T], content: Content, before: tuple[int, ...] | bytes, *, name: str) -> T:
    """What is read of content that still is what it was when it was named."""
    found = read()
    if (_state(content) if isinstance(content, Path) else _digest(content)) != before:
        raise InputError("changes while it is read; give it when it is complete", path=name)
    return found
