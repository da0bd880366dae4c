"""A multimodal model whose tokens stand at positions of several axes."""

# N tokens, A axes

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, cast

import torch
from torch import Tensor

from triptych.assembly.multimodal import BESIDE, EMBEDS, GRID, SECONDS, TEXTS, MultimodalModel
from triptych.assembly.pruned import between_texts, moment_spans, rows_that_stay, with_places
from triptych.capabilities.mrope import SupportsMultiModalPruning
from triptych.capabilities.multimodal import MultiModalEmbeddings
from triptych.errors import InputError
from triptych.parts.evs import of_digits
from triptych.parts.grid import Grid
from triptych.parts.mrope import ItemSpan
from triptych.settings import WHOLE, Stage
from triptych.spec.plan import ModelPlan


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


class MRopeModel(MultimodalModel, SupportsMultiModalPruning):
    """Its spec says by `positions` where the tokens of a prompt with items stand; text alone counts 0, 1, 2, ...

    Of videos it may leave out rows. Beside each that stays stands how far below the largest position of its video it is
    on each axis: what stays is known later than how much. What follows a video stands where it would after all of it.
    Texts between the moments of such a video are rows of it, too.
    """

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

    def embed_multimodal(self, **items: Sequence[Tensor]) -> list[Tensor]:
        """As every model with towers; of a video of which rows are left out, those that stay, and where they stand.

        `video_seconds` and the like are the seconds between the moments of the items, `video_texts` the ids of all
        tokens of a video of which rows are left out, where texts stand between its moments.
        """
        found: list[Tensor] = []
        for key in items:
            if not key.endswith(BESIDE):
                own = {name: items[name] for name in (key, key + GRID) if name in items}
                rows = super().embed_multimodal(**own)
                found += self._pruned(key, rows, items) if self._is_pruned(key) else rows
        return found

    def recompute_mrope_positions(
        self,
        input_ids: list[int] | Tensor,
        multimodal_embeddings: MultiModalEmbeddings,
        mrope_positions: Tensor,
        num_computed_tokens: int,
    ) -> tuple[MultiModalEmbeddings, Tensor, int]:
        """Rows of items [n_i, D] and positions [3, N] of a prompt's ids [N], where rows say themselves how they stand.

        `mrope_positions` are those of `get_mrope_input_positions`; the rows are those of the tokens from
        `num_computed_tokens` on, in order, as far as they are known. Raises InputError for more rows than tokens.
        """
        ids_N = torch.as_tensor(input_ids, device=mrope_positions.device)
        placeholders = torch.tensor([rule.placeholder for rule in self._rules.values()], device=ids_N.device)
        places = torch.isin(ids_N, placeholders).nonzero()[:, 0]
        places = places[places >= num_computed_tokens]
        if (count := sum(map(len, multimodal_embeddings))) > len(places):
            after = f"tokens of items from token {num_computed_tokens} on"
            raise InputError(f"{count} rows of items for {len(places)} {after}", path="multimodal_embeddings")
        found, positions_AN, width = list[Tensor](), mrope_positions.clone(), self.item_width
        for rows in multimodal_embeddings:
            if rows.shape[1] > width:
                below_MA = of_digits(rows[:, width:]).to(positions_AN.device)
                positions_AN[:, places[: len(rows)]] -= below_MA.T
            found.append(rows[:, :width])
            places = places[len(rows) :]
        return found, positions_AN, int(mrope_positions.max()) + 1 - len(ids_N)

    def _is_pruned(self, modality: str) -> bool:
        rule = self._rules.get(modality)
        return rule is not None and rule.pruning > 0

    def _pruned(self, modality: str, rows: Sequence[Tensor], items: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
        """The rows [M, D + 9] that stay of each item, texts between them."""
        found, absent = list[Tensor](), [None] * len(rows)
        paces: Sequence[Tensor | None] = items.get(modality + SECONDS, absent)
        texts: Sequence[Tensor | None] = items.get(modality + TEXTS, absent)
        for each, told, pace, ids in zip(rows, items[modality + GRID], paces, texts, strict=True):
            grid, seconds = Grid(*told.tolist()[:3]), None if pace is None else cast(float, pace.tolist())
            kept = rows_that_stay(each, grid, rate=self._rules[modality].pruning, width=self.width)
            if ids is None:
                places = torch.from_numpy(self._positions.places(grid, seconds))
                found.append(with_places(each[kept], places, kept))
            else:
                found.append(self._among_texts(modality, each, grid, seconds=seconds, ids_L=ids.tolist(), kept_M=kept))
        return found

    def _among_texts(
        self, modality: str, rows_ND: Tensor, grid: Grid, *, seconds: float | None, ids_L: list[int], kept_M: Tensor
    ) -> Tensor:
        at = self._rows_at(modality, ids_L)
        words = torch.tensor([ids_L[n] for n in sorted({*range(len(ids_L))} - {*at})], device=rows_ND.device)
        texts_SD = self._text().embed_input_ids(words)
        found_MD, stay_M = between_texts(rows_ND, texts_SD, at=at, kept_M=kept_M)
        places = self._positions(len(ids_L), moment_spans(at, grid, seconds))[0]
        return with_places(found_MD, torch.from_numpy(places), stay_M)

    def _rows_at(self, modality: str, ids: Sequence[int]) -> list[int]:
        """Which of the tokens of an item take its rows."""
        return [n for n, token in enumerate(ids) if token == self._rules[modality].placeholder]

    def _spans(self, feature: Feature, number: int) -> Iterator[ItemSpan]:
        """The tokens of an item, or those of each moment of it where text stands between them."""
        data: Mapping[str, object] = {} if feature.data is None else feature.data.get_data()
        grid, seconds = data.get(feature.modality + GRID), data.get(feature.modality + SECONDS)
        if not isinstance(grid, Tensor):
            beside = f"its rows in a mapping, with {feature.modality}_grid_thw beside them"
            message = f"comes without its grid, and tokens of items stand by it; give the item itself, or {beside}"
            raise InputError(message, path=f"{feature.modality}[{number}]")
        whole = Grid(*grid.tolist()[:3])
        pace = float(seconds) if isinstance(seconds, Tensor) else None
        ranges = [(first, last + 1) for first, last in feature.mm_position.extract_embeds_range()]
        if self._is_pruned(feature.modality) and feature.modality + EMBEDS not in data:
            span = self._pruned_span(ranges, whole, pace, path=f"{feature.modality}[{number}]")
            texts = data.get(feature.modality + TEXTS)
            yield self._with_texts(feature.modality, span, texts.tolist()) if isinstance(texts, Tensor) else span
            return
        pieces = [whole] if len(ranges) == 1 else [whole._replace(t=1)] * whole.t
        if len(pieces) != len(ranges):
            message = f"of {whole.t} moments stands in {len(ranges)} pieces; one, or one a moment, will do"
            raise InputError(message, path=f"{feature.modality}[{number}]")
        for (start, stop), each in zip(ranges, pieces, strict=True):
            if (wanted := self._positions.tokens(each)) != stop - start:
                message = f"has a grid of {tuple(each)}, which is {wanted} tokens, and {stop - start} in the prompt"
                raise InputError(message, path=f"{feature.modality}[{number}]")
            yield ItemSpan(start, stop, each, pace)

    def _pruned_span(
        self, ranges: Sequence[tuple[int, int]], grid: Grid, seconds: float | None, *, path: str
    ) -> ItemSpan:
        if len(ranges) != 1:
            message = f"stands in {len(ranges)} pieces, and how many rows of each moment stay is not known beforehand"
            raise InputError(f"{message}; give it in one piece, or leave out no rows (video_pruning=0)", path=path)
        return ItemSpan(*ranges[0], grid, seconds, pruned=True)

    def _with_texts(self, modality: str, span: ItemSpan, ids: list[int]) -> ItemSpan:
        """The span of an item among whose rows texts stand: it takes up as many positions as all of it."""
        spans = moment_spans(self._rows_at(modality, ids), span.grid, span.seconds)
        return span._replace(reach=self._positions(len(ids), spans)[1])
