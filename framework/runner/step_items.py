"""The items that stand in the chunks of a step: their rows, and whose item cannot be encoded."""

# D width

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from triptych.errors import TriptychError
from triptych.inputs.items import MultiModalFeatureSpec
from triptych.runner.encoded import EncodedItems, item_parts
from triptych.runner.entry import Entry
from triptych.runner.failures import as_told, of_item
from triptych.runner.schedule import Chunk


@dataclass(frozen=True)
class StepItems:
    """The chunks that can be computed, the rows [n, D] of items in them in turn, and the requests that cannot.

    `sources` are the rows of the items beside a prompt, of those that begin.
    """

    chunks: list[Chunk]
    rows: list[Tensor]
    failures: list[tuple[Entry, TriptychError]]
    sources: dict[Entry, list[Tensor]] = field(default_factory=dict)

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
    beside = [
        (chunk.entry, each) for chunk in chunks if not chunk.entry.read for each in chunk.entry.request.prompt.sources
    ]
    if not parts and not beside:
        return StepItems([*chunks], [], [])
    wanted = [*((chunk.entry, part.feature) for chunk, part in parts), *beside]
    found = encoded.rows([feature for _, feature in wanted])
    failures = _failures(wanted, found)
    rows_of = [
        part.of(rows)
        for (chunk, part), rows in zip(parts, found, strict=False)
        if isinstance(rows, Tensor) and chunk.entry not in failures
    ]
    sources: dict[Entry, list[Tensor]] = {}
    for (entry, _), rows in zip(beside, found[len(parts) :], strict=True):
        if isinstance(rows, Tensor) and entry not in failures:
            sources.setdefault(entry, []).append(rows)
    kept = [chunk for chunk in chunks if chunk.entry not in failures]
    return StepItems(kept, rows_of, [*failures.items()], sources)


def _failures(
    wanted: Sequence[tuple[Entry, MultiModalFeatureSpec]], found: Sequence[Tensor | Exception]
) -> dict[Entry, TriptychError]:
    failures: dict[Entry, TriptychError] = {}
    for (entry, feature), rows in zip(wanted, found, strict=True):
        if isinstance(rows, Exception):
            prompt = entry.request.prompt
            told = of_item(as_told(rows, "it cannot be encoded"), feature, (*prompt.features, *prompt.sources))
            failures.setdefault(entry, told)
    return failures


def _is_item(chunk: Chunk) -> Sequence[bool]:
    found = chunk.entry.request.prompt.item_rows()[chunk.entry.read : chunk.entry.read + chunk.count]
    return found + [False] * (chunk.count - len(found))
