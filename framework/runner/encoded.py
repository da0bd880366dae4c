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
from triptych.registry.authors import blaming
from triptych.runner.encode import Encoder, encode_items
from triptych.runner.reading import RUNS


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
    """What an encoder made of items, `budget` bytes of it beside what a step needs.

    Items that fail together are tried `apart`, where the model may be asked again.
    """

    def __init__(self, model: Encoder, *, budget: int, device: torch.device, apart: bool = True) -> None:
        self._model, self._budget, self._device, self._apart = model, budget, device, apart
        self._rows: OrderedDict[str, Tensor] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, features: Sequence[MultiModalFeatureSpec]) -> list[Tensor | Exception]:
        """Rows [n_i, D] of each item, or why there are none; those that are not kept are encoded together.

        Raises what the encoder does where items are not tried apart.
        """
        missing = {each.identifier: each for each in features if each.identifier not in self._rows}
        found = dict(zip(missing, self._encoded([*missing.values()]), strict=True)) if missing else {}
        for name, rows in found.items():
            if isinstance(rows, Tensor):
                self._keep(name, rows)
        given = [
            found[each.identifier] if each.identifier in found else self._rows[each.identifier] for each in features
        ]
        for each in features:
            if each.identifier in self._rows:
                self._rows.move_to_end(each.identifier)
        self._make_room()
        return given

    def _keep(self, name: str, rows: Tensor) -> None:
        if rows.untyped_storage().nbytes() > rows.nbytes:
            rows = rows.clone()  # of its own: of rows that share memory, one would keep that of all
        self._rows[name] = rows
        self.nbytes += rows.nbytes

    def _make_room(self) -> None:
        while len(self._rows) > 1 and self.nbytes > self._budget:
            _, rows = self._rows.popitem(last=False)
            self.nbytes -= rows.nbytes

    def _encoded(self, features: Sequence[MultiModalFeatureSpec]) -> list[Tensor | Exception]:
        try:
            with blaming(self._model, RUNS):
                return [*encode_items(self._model, features, device=self._device)]
        except Exception as error:
            if not self._apart:
                raise
            if len(features) == 1:
                return [error]
        return [found for each in features for found in self._encoded([each])]
