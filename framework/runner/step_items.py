"""The items that stand in the chunks of a step: their rows, and whose item cannot be encoded."""

# D width

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from triptych.errors import TriptychError
from triptych.runner.encoded import EncodedItems, item_parts
from triptych.runner.entry import Entry
from triptych.runner.failures import as_told, of_item
from triptych.runner.schedule import Chunk


@dataclass(frozen=True)
class StepItems:
    """The chunks that can be computed, the rows [n, D] of items in them in turn, and the requests that cannot."""

    chunks: list[Chunk]
    rows: list[Tensor]
    failures: list[tuple[Entry, TriptychError]]

    def mask(self, writers: int) -> list[bool]:
        """Which tokens of a step are rows of items; those of the `writers` stand before the chunks, and are none."""
        return [False] * writers + [is_item for chunk in self.chunks for is_item in _is_item(chunk)]


def read_items(chunks: Sequence[Chunk], encoded: EncodedItems) -> StepItems:
    """Encode what is not encoded yet. Each request with an item that fails is told of its first one."""
    parts = [
        (chunk, part)
        for chunk in chunks
        for part in item_parts(chunk.entry.request.prompt, chunk.entry.read, chunk.count)
    ]
    if not parts:
        return StepItems([*chunks], [], [])
    found = [*zip(parts, encoded.rows([part.feature for _, part in parts]), strict=True)]
    failures: dict[Entry, TriptychError] = {}
    for (chunk, part), rows in found:
        if isinstance(rows, Exception):
            told = of_item(as_told(rows, "it cannot be encoded"), part.feature, chunk.entry.request.prompt.features)
            failures.setdefault(chunk.entry, told)
    rows_of = [
        part.of(rows) for (chunk, part), rows in found if isinstance(rows, Tensor) and chunk.entry not in failures
    ]
    return StepItems([chunk for chunk in chunks if chunk.entry not in failures], rows_of, [*failures.items()])


def _is_item(chunk: Chunk) -> Sequence[bool]:
    found = chunk.entry.request.prompt.item_rows()[chunk.entry.read : chunk.entry.read + chunk.count]
    return found + [False] * (chunk.count - len(found))
