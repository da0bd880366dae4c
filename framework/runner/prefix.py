"""Names for the blocks of a sequence, each of which tells all that stands before it too."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from triptych.inputs.items import MultiModalFeatureSpec

BLOCK = 16  # tokens; what is shared between sequences is shared by blocks
SIZE = 32  # bytes of a name


class BlockNames:
    """The names of the whole blocks of one sequence, worked out as it grows."""

    def __init__(self, features: Sequence[MultiModalFeatureSpec]) -> None:
        self._features = features
        self._names: list[bytes] = []

    def of(self, tokens: Sequence[int], count: int) -> Sequence[bytes]:
        """One for each whole block of the first `count` tokens, and maybe more.

        The tokens are those of the last call and what came after.
        """
        for start in range(len(self._names) * BLOCK, count - BLOCK + 1, BLOCK):
            before = self._names[-1] if self._names else b""
            digest = blake2b(before, digest_size=SIZE)
            digest.update(array("q", tokens[start : start + BLOCK]).tobytes())
            for item in self._items(start):
                digest.update(item)
            self._names.append(digest.digest())
        return self._names

    def _items(self, start: int) -> Iterator[bytes]:
        """What tells the items whose rows stand in a block, and where in it they begin."""
        for feature in self._features:
            first = feature.mm_position.offset
            if first < start + BLOCK and start < first + feature.mm_position.length:
                yield f"{len(feature.identifier)} {feature.identifier} {first - start} ".encode()
