"""A multimodal model whose tokens stand at positions of several axes."""

# N tokens, A axes

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from triptych.assembly.multimodal import GRID, MultimodalModel
from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.mrope import ItemSpan
from triptych.settings import WHOLE, Stage
from triptych.spec.plan import ModelPlan

SECONDS = "_seconds"  # what the key of the seconds between the moments of an item ends in


class Place(Protocol):
    """Which tokens of a prompt are rows of an item."""

    def extract_embeds_range(self) -> list[tuple[int, int]]: ...


class Data(Protocol):
    """The tensors of an item, by key."""

    def get_data(self) -> Mapping[str, object]: ...


class Feature(Protocol):
    """An item of a prompt."""

    @property
    def data(self) -> Data | None: ...

    @property
    def modality(self) -> str: ...

    @property
    def mm_position(self) -> Place: ...


class MRopeModel(MultimodalModel):
    """Its spec says by `positions` where the tokens of a prompt with items stand; text alone counts 0, 1, 2, ..."""

    supports_mrope: ClassVar[Literal[True]] = True

    def __init__(
        self, plan: ModelPlan, left_out: Mapping[str, str] = MappingProxyType({}), stage: Stage = WHOLE
    ) -> None:
        super().__init__(plan, left_out, stage)
        assert plan.positions is not None
        self._positions: Any = plan.positions.build()

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: Sequence[Feature]) -> tuple[Tensor, int]:
        """Positions [A, N] of a prompt's tokens, and what to add to a later token's index to get its position.

        Raises InputError for an item that comes without its grid, or with one that does not fit its tokens.
        """
        spans = [span for number, each in enumerate(mm_features) for span in self._spans(each, number)]
        found_NA, after = self._positions(len(input_tokens), sorted(spans))
        return torch.from_numpy(found_NA.T), after - len(input_tokens)

    def _spans(self, feature: Feature, number: int) -> Iterator[ItemSpan]:
        """The tokens of an item, or those of each moment of it where text stands between them."""
        data: Mapping[str, object] = {} if feature.data is None else feature.data.get_data()
        grid, seconds = data.get(feature.modality + GRID), data.get(feature.modality + SECONDS)
        if not isinstance(grid, Tensor):
            message = "comes without its grid, and tokens of items stand by it; give the item itself, not its rows"
            raise InputError(message, path=f"{feature.modality}[{number}]")
        whole = Grid(*grid.tolist()[:3])
        ranges = [(first, last + 1) for first, last in feature.mm_position.extract_embeds_range()]
        pieces = [whole] if len(ranges) == 1 else [whole._replace(t=1)] * whole.t
        pace = float(seconds) if isinstance(seconds, Tensor) else None
        if len(pieces) != len(ranges):
            message = f"of {whole.t} moments stands in {len(ranges)} pieces; one, or one a moment, will do"
            raise InputError(message, path=f"{feature.modality}[{number}]")
        yield from (ItemSpan(start, stop, g, pace) for (start, stop), g in zip(ranges, pieces, strict=True))
