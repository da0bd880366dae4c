"""Names for the blocks of a sequence, each of which tells all that stands before it too."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from triptych.inputs.items import MultiModalFeatureSpec

BLOCK = 16  # tokens; what is shared between sequences is shared by blocks
SIZE = 32  # bytes of a name


class BlockNames:
    """The names of the whole blocks of one sequence, worked out as it grows.

    `both_ways` are rows that see each other both ways: what comes after a row is a part of its name then.
    """

    def __init__(self, features: Sequence[MultiModalFeatureSpec], both_ways: Sequence[range] = ()) -> None:
        self._features, self._both_ways = features, both_ways
        self._names: list[bytes] = []
        self._wholes: list[bytes] = []  # of the first of `both_ways`

    def of(self, tokens: Sequence[int], count: int) -> Sequence[bytes]:
        """One for each whole block of the first `count` tokens, and maybe more.

        The tokens are those of the last call and what came after; `both_ways` are among them from the first.
        """
        for start in range(len(self._names) * BLOCK, count - BLOCK + 1, BLOCK):
            told = array("q", tokens[start : start + BLOCK]).tobytes()
            told += b"".join((*self._items(start, start + BLOCK), *self._around(start, tokens)))
            before = self._names[-1] if self._names else b""
            self._names.append(_named(before + told))
        return self._names

    def _items(self, start: int, stop: int) -> Iterator[bytes]:
        """What tells the items whose rows stand between, and where they begin from `start` on."""
        for feature in self._features:
            first = feature.mm_position.offset
            if first < stop and start < first + feature.mm_position.length:
                yield f"{len(feature.identifier)} {feature.identifier} {first - start} ".encode()

    def _around(self, start: int, tokens: Sequence[int]) -> Iterator[bytes]:
        """What tells the rows that those of a block see on both sides, and where these begin."""
        for number, rows in enumerate(self._both_ways):
            if rows.start < start + BLOCK and start < rows.stop:
                yield f"{rows.start - start} ".encode() + self._seen(number, tokens)

    def _seen(self, number: int, tokens: Sequence[int]) -> bytes:
        """A name for all rows of one of `both_ways`."""
        if number == len(self._wholes):
            rows = self._both_ways[number]
            own = array("q", tokens[rows.start : rows.stop]).tobytes()
            self._wholes.append(_named(own + b"".join(self._items(rows.start, rows.stop))))
        return self._wholes[number]


def _named(told: bytes) -> bytes:
    return blake2b(told, digest_size=SIZE).digest()
