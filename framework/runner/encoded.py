"""Rows of items, kept by what names the item until their room is needed."""

# D width, n_i rows of item i

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.inputs.items import MultiModalFeatureSpec
from triptych.inputs.prompt import Prompt
from triptych.runner.encode import Encoder, encode_items


@dataclass(frozen=True)
class ItemPart:
    """The tokens of an item, from its first on, that stand in some tokens of a prompt."""

    feature: MultiModalFeatureSpec
    start: int
    stop: int

    def of(self, rows: Tensor) -> Tensor:
        """Those of the item's rows [n, D] that these tokens take."""
        return rows[slice(*self.feature.mm_position.get_embeds_indices_in_range(self.start, self.stop))]


def item_parts(prompt: Prompt, start: int, count: int) -> Iterator[ItemPart]:
    """The parts of items that stand in `count` tokens of a prompt from `start` on."""
    for feature in prompt.features:
        first, length = feature.mm_position.offset, feature.mm_position.length
        part = ItemPart(feature, max(0, start - first), min(length, start + count - first))
        if part.start < part.stop:
            yield part


class EncodedItems:
    """What an encoder made of items, `budget` bytes of it beside what a step needs."""

    def __init__(self, model: Encoder, *, budget: int, device: torch.device) -> None:
        self._model, self._budget, self._device = model, budget, device
        self._rows: OrderedDict[str, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        return sum(rows.nbytes for rows in self._rows.values())

    def rows(self, features: Sequence[MultiModalFeatureSpec]) -> list[Tensor]:
        """Rows [n_i, D] of each item; those that are not kept are encoded together. Raises what `encode_items` does."""
        missing = {each.identifier: each for each in features if each.identifier not in self._rows}
        encoded = encode_items(self._model, [*missing.values()], device=self._device) if missing else []
        self._rows.update(zip(missing, encoded, strict=True))
        found = [self._rows[each.identifier] for each in features]
        for each in features:
            self._rows.move_to_end(each.identifier)
        while len(self._rows) > 1 and self.nbytes > self._budget:
            self._rows.popitem(last=False)
        return found
