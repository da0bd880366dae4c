"""The processor of every model that a spec describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch

from triptych.inputs.around import mark_of, stands_around, with_around, written_around
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.items import MultiModalKwargsItems
from triptych.inputs.media import (
    DictEmbeddingItems,
    ModalityDataItems,
    MultiModalDataItems,
    VideoProcessorItems,
)
from triptych.inputs.processing.encoded import ENCODED, SIZES, check_rows_of, encoded_facts, encoded_known
from triptych.inputs.processing.grid_embeds import EMBEDS, THW
from triptych.inputs.processing.preparing import GRID, SECONDS, TEXTS, facts_of, prepare_items
from triptych.inputs.processing.processor import BaseMultiModalProcessor, Keywords
from triptych.inputs.processing.spec_info import SpecProcessingInfo
from triptych.inputs.processing.written import is_written, place_items, three_parts, without_texts
from triptych.inputs.prompt import check_placeholders, encode_text, whole_of_one
from triptych.inputs.updates import (
    AppliedUpdates,
    ItemUpdates,
    PromptReplacement,
    PromptUpdate,
    PromptUpdateDetails,
    ResolvedPromptUpdate,
)
from triptych.spec.tokens import Known, TokenRule

BESIDE = (GRID, SECONDS, TEXTS)  # what the keys of facts end in, which stand beside the tensors of items


class SpecProcessor(BaseMultiModalProcessor[SpecProcessingInfo]):
    """Each item alone through the checkpoint's own processor; each target becomes as many placeholders as the formula
    says, and the texts that the spec has around them. The items of a modality go to the model under its name.
    """

    requires_tokenizer: ClassVar[bool] = False  # token ids will do
    exact: ClassVar[tuple[str, ...]] = (SECONDS,)  # tokens stand by them

    def encode(self, text: str, *, bare: bool = False) -> list[int]:
        tokenizer = self.info.get_tokenizer()
        encode = tokenizer.encode_bare if bare else tokenizer.encode
        return encode_text(text, encode, tokenizer, [*self.info.ctx.tokens.values()])

    def encode_beside(self, text: str, items: MultiModalDataItems, *, bare: bool = False) -> list[int]:
        """The texts around items that differ in them are written into the prompt's first."""
        for modality, own in items.items():
            if self.info.varies(modality):
                rule = self.info.ctx.tokens[modality]
                mark = mark_of(rule, self.info.get_tokenizer())
                text = text if mark in text else written_around(text, rule, mark, self._edges(modality, own))
        return self.encode(text, bare=bare)

    def _edges(self, modality: str, items: ModalityDataItems[object]) -> list[tuple[str, str]]:
        """The texts before and after the placeholders of each item."""
        rows = self._counts(modality, items)
        return [
            self.info.edges(modality, count, self._known(modality, items, index)) for index, count in enumerate(rows)
        ]

    def _get_hf_mm_data(self, mm_items: MultiModalDataItems) -> tuple[dict[str, object], dict[str, object]]:
        """Videos with what is known of how they were taken."""
        given, past = super()._get_hf_mm_data(mm_items)
        if isinstance(videos := mm_items.get("video"), VideoProcessorItems):
            given[videos.key] = [*videos]
            parted = [self.info.parted("video", facts_of(videos, index)) for index in range(len(videos))]
            if all(parted):
                past[f"video{TEXTS}"] = [torch.tensor(ids) for ids in parted]
        for modality, items in mm_items.items():
            if isinstance(items, DictEmbeddingItems):  # each item's own, however they were given
                each = [items.given(index) for index in range(len(items))]
                past[modality + EMBEDS] = [item[modality + EMBEDS] for item in each]
                if past.pop(modality + THW, None) is not None:
                    past[modality + GRID] = [item[modality + THW] for item in each]
                past.pop(modality + SIZES, None)
        return given, past

    def _call_hf_processor(
        self,
        text: str | None,  # noqa: ARG002
        mm_data: Mapping[str, Any],
        mm_kwargs: Keywords,
    ) -> Mapping[str, object]:
        return prepare_items(self.info.ctx, mm_data, mm_kwargs)

    def _get_mm_fields_config(
        self,
        hf_inputs: Mapping[str, object],
        mm_kwargs: Keywords,  # noqa: ARG002
    ) -> Mapping[str, MultiModalFieldConfig]:
        return {
            key: MultiModalFieldConfig.batched(_modality_of(key), keep_on_cpu=key.endswith(BESIDE)) for key in hf_inputs
        }

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        mm_kwargs: Keywords,  # noqa: ARG002
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Sequence[PromptUpdate]:
        rules = {modality: self.info.ctx.tokens[modality] for modality in mm_items}
        rows = self._get_expected_rows(mm_items, out_mm_kwargs)
        return [
            PromptReplacement(m, [rule.single], partial(self._content, m, mm_items[m], rows[m]))
            for m, rule in rules.items()
        ]

    def _content(
        self, modality: str, items: ModalityDataItems[object], rows: Sequence[int], item: int
    ) -> PromptUpdateDetails:
        return self.info.content(modality, rows[item], self._known(modality, items, item))

    def _update_prompt(self, token_ids: list[int], updates: ItemUpdates) -> AppliedUpdates:
        """The same prompt where it has the placeholders of all rows already: another processor wrote it."""
        rules = self.info.ctx.tokens
        token_ids = self._with_text(token_ids, updates)
        updates = {m: self._without_text(token_ids, rules[m], own) for m, own in updates.items()}
        rows = {
            m: [alternatives[0].content.full.count(rule.placeholder) for alternatives in updates.get(m, ())]
            for m, rule in rules.items()
        }
        singles = {m: [at for at, token in enumerate(token_ids) if token == rule.single] for m, rule in rules.items()}
        found = whole_of_one(singles, rules, rows)
        check_placeholders(rules, items=rows, found=found)
        written = all(is_written(token_ids, places, updates.get(m, ())) for m, places in found.items())
        if not written or any(len(places) != sum(rows[modality]) for modality, places in found.items()):
            return super()._update_prompt(token_ids, updates)
        placed = {modality: place_items(modality, token_ids, found[modality], rows[modality]) for modality in updates}
        return AppliedUpdates(token_ids, placed, used_fallback=False)

    def _with_text(self, token_ids: list[int], updates: ItemUpdates) -> list[int]:
        """Token ids in which targets have become placeholders with the text of their items around them."""
        if (tokenizer := self.info.ctx.tokenizer) is None:
            return token_ids
        for modality, rule in self.info.ctx.tokens.items():
            parts = [three_parts(alternatives[0].content, rule) for alternatives in updates.get(modality, ())]
            token_ids = with_around(token_ids, tokenizer, rule, [(before, after) for before, _, after in parts])
        return token_ids

    def _without_text(
        self, token_ids: Sequence[int], rule: TokenRule, updates: Sequence[Sequence[ResolvedPromptUpdate]]
    ) -> Sequence[Sequence[ResolvedPromptUpdate]]:
        """The updates of a modality; those that put nothing around placeholders where it stands there already."""
        if (tokenizer := self.info.ctx.tokenizer) is None or not stands_around(token_ids, tokenizer, rule):
            return updates
        return [[replace(each, content=without_texts(each.content, rule)) for each in item] for item in updates]

    def _get_expected_rows(
        self,
        mm_items: MultiModalDataItems,
        out_mm_kwargs: MultiModalKwargsItems,  # noqa: ARG002
    ) -> dict[str, list[int]]:
        return {modality: self._counts(modality, items) for modality, items in mm_items.items()}

    def _counts(self, modality: str, items: ModalityDataItems[object]) -> list[int]:
        return [self._count(modality, items, index) for index in range(len(items))]

    def _known(self, modality: str, items: ModalityDataItems[object], index: int) -> Known:
        """What is known of an item; of rows that are encoded already, as much as stands beside them."""
        if isinstance(items, ENCODED):
            return encoded_known(items, index, self.info.ctx.tokens[modality])
        return facts_of(items, index)

    def _count(self, modality: str, items: ModalityDataItems[object], index: int) -> int:
        if isinstance(items, ENCODED):
            facts = encoded_facts(items, index)
            return check_rows_of(items, index, None if facts is None else self.info.count(modality, facts))
        return self.info.count(modality, facts_of(items, index))


def _modality_of(key: str) -> str:
    for ending in ("_embeds", *BESIDE):
        key = key.removesuffix(ending)
    return key
