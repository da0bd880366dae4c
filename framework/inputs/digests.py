"""What names are made by: a hash of 256 bits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

STRIP = 2**18  # bytes of a file that are read at a time


class Digest(Protocol):
    """A hash to which bytes are added."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Add bytes."""
        ...

    def digest(self) -> bytes:
        """The hash of all bytes so far."""
        ...


def digest_of(pieces: Iterable[bytes | memoryview]) -> bytes:
    """The hash of bytes that come in pieces."""
    found = algorithm()()
    for piece in pieces:
        found.update(piece)
    return found.digest()


def digest_of_file(file: Path) -> bytes:
    """The hash of the bytes in a file, of which a few at a time are in memory. Raises OSError."""
    found, strip = algorithm()(), memoryview(bytearray(STRIP))
    with open(file, "rb", buffering=0) as opened:
        while count := opened.readinto(strip):
            found.update(strip[:count])
    return found.digest()


@cache
def algorithm() -> Callable[[], Digest]:
    """BLAKE3, which is as fast as memory; SHA-256 where there is no package blake3 for the machine."""
    if find_spec("blake3") is None:
        return hashlib.sha256
    found: Callable[[], Digest] = import_module("blake3").blake3
    return found
