"""The processor, the info and the dummy inputs of every model that a spec describes: what they know stands in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Any, ClassVar, assert_never

import torch

from triptych.inputs.around import stands_around, with_around
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.items import MultiModalKwargsItems
from triptych.inputs.media import (
    DictEmbeddingItems,
    EmbeddingItems,
    ModalityDataItems,
    MultiModalDataItems,
    MultiModalDataParser,
    VideoProcessorItems,
)
from triptych.inputs.media.video_files import every_frame
from triptych.inputs.processing.dummy import BaseDummyInputsBuilder
from triptych.inputs.processing.grid_embeds import EMBEDS, THW, embed_fields
from triptych.inputs.processing.info import BaseProcessingInfo
from triptych.inputs.processing.inputs import MultiModalInputs
from triptych.inputs.processing.preparing import GRID, SECONDS, facts_of, prepare_items
from triptych.inputs.processing.processor import BaseMultiModalProcessor, Keywords
from triptych.inputs.prompt import check_placeholders, encode_text
from triptych.inputs.updates import (
    AppliedUpdates,
    ItemUpdates,
    PlaceholderFeaturesInfo,
    PromptReplacement,
    PromptUpdate,
    PromptUpdateDetails,
    ResolvedPromptUpdate,
)
from triptych.parts.sampling import Uniform
from triptych.spec.item_facts import AudioFacts, ImageFacts, ItemFacts, VideoFacts
from triptych.spec.tokens import TokenRule

BESIDE = (GRID, SECONDS)  # what the keys of facts end in, which stand beside the tensors of items


class SpecProcessingInfo(BaseProcessingInfo):
    """What the token rules of a spec say."""

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """Any number of items of each modality that the spec has a rule for."""
        return dict.fromkeys(self.ctx.tokens)

    def get_data_parser(self) -> MultiModalDataParser:
        """What reads items; waveforms are brought to the rate that the checkpoint's feature extractor takes, and of
        files of video those frames are read that `choose_frames` takes.
        """
        return MultiModalDataParser(
            target_sr=self.ctx.rate,
            choose_frames=self.choose_frames,
            embeds=self.ctx.settings.embeds,
            embed_fields=embed_fields(self.ctx.tokens),
            expected_hidden_size=self.ctx.width,
        )

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int] | None:  # noqa: ARG002
        """By the formula of the spec, for an item of the size that takes most."""
        return {m: self.count(m, self.largest(m)) for m in mm_counts}

    def count(self, modality: str, item: ItemFacts) -> int:
        """How many placeholders an item takes, as the checkpoint's processor prepares it."""
        return self.ctx.tokens[modality].count(item, self.ctx.processor_config(modality))

    def get_blocks(self, prompt: MultiModalInputs) -> tuple[range, ...]:
        """The rows of each item, or those of the whole prompt, as the rules say."""
        attend = {modality: rule.attend for modality, rule in self.ctx.tokens.items()}
        if "prefix" in attend.values():
            return (range(len(prompt.prompt_token_ids)),)
        spans = (f.mm_position.extract_embeds_range() for f in prompt.features() if attend[f.modality] == "both")
        return tuple(range(first, last + 1) for first, last in sorted(chain.from_iterable(spans)))

    def largest(self, modality: str) -> ItemFacts:
        """The facts of an item that takes the most."""
        return self.ctx.tokens[modality].largest(self.ctx.processor_config(modality))

    def choose_frames(self, video: VideoFacts) -> Sequence[int]:
        """Which frames of a file are taken: as the settings or the checkpoint's processor say, else as the spec does.

        Raises OptionError for settings that say nothing clear, InputError for a video of which too little is known.
        """
        if self.ctx.asked_of_videos.get("do_sample_frames") is False:
            return every_frame(video)
        rule = self.ctx.tokens.get("video")
        sampling = rule.sampling if rule is not None and rule.sampling is not None else Uniform()
        return sampling(video, self.ctx.processor_config("video"))

    def content(self, modality: str, count: int, item: ItemFacts | None) -> PromptUpdateDetails:
        """What an item of `count` rows becomes: placeholders, and texts as the tokenizer has them by themselves.

        Raises InputError for an item without facts (rows that are encoded already) where these are needed, and for
        texts without a tokenizer.
        """
        rule, config = self.ctx.tokens[modality], self.ctx.processor_config(modality) if item is not None else {}
        pieces = rule.content(count, item, config)
        texts = {piece: self.get_tokenizer().encode_bare(piece) for piece in pieces if isinstance(piece, str)}
        found = [texts[piece] if isinstance(piece, str) else [rule.placeholder] * piece for piece in pieces]
        whole = [*chain.from_iterable(found)]
        return PromptUpdateDetails.select_token_id(whole, rule.placeholder) if texts else PromptUpdateDetails(whole)


class SpecDummyInputsBuilder(BaseDummyInputsBuilder[SpecProcessingInfo]):
    """Items of the size that takes most placeholders, and the target of each."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        tokens = self.info.ctx.tokens
        return "".join(tokens[modality].target * count for modality, count in mm_counts.items())

    def get_dummy_mm_data(
        self,
        seq_len: int,  # noqa: ARG002
        mm_counts: Mapping[str, int],
        mm_options: Mapping[str, Mapping[str, int]],
    ) -> dict[str, object]:
        found: dict[str, object] = {}
        for modality, count in mm_counts.items():
            found[modality] = self._dummies(self.info.largest(modality), count, mm_options.get(modality))
        return found

    def _dummies(self, item: ItemFacts, count: int, options: Mapping[str, int] | None) -> Sequence[object]:
        match item:
            case ImageFacts(height, width):
                return self._get_dummy_images(width=width, height=height, num_images=count, options=options)
            case VideoFacts(frames, height, width):
                return self._get_dummy_videos(
                    width=width, height=height, num_frames=frames, num_videos=count, options=options
                )
            case AudioFacts(samples):
                return self._get_dummy_audios(length=samples, num_audios=count, options=options)
        assert_never(item)


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

    def _postprocess_prompt(self, token_ids: list[int]) -> list[int]:
        tokenizer = self.info.ctx.tokenizer
        return token_ids if tokenizer is None else with_around(token_ids, tokenizer, [*self.info.ctx.tokens.values()])

    def _get_hf_mm_data(self, mm_items: MultiModalDataItems) -> tuple[dict[str, object], dict[str, object]]:
        """Videos with what is known of how they were taken."""
        given, past = super()._get_hf_mm_data(mm_items)
        if isinstance(videos := mm_items.get("video"), VideoProcessorItems):
            given[videos.key] = [*videos]
        for modality, items in mm_items.items():
            if isinstance(items, DictEmbeddingItems):  # each item's own, however they were given
                each = [items.given(index) for index in range(len(items))]
                past[modality + EMBEDS] = [item[modality + EMBEDS] for item in each]
                past[modality + GRID] = [item[modality + THW] for item in each]
                past.pop(modality + THW, None)
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
            PromptReplacement(m, [rule.placeholder], partial(self._content, m, mm_items[m], rows[m]))
            for m, rule in rules.items()
        ]

    def _content(
        self, modality: str, items: ModalityDataItems[object], rows: Sequence[int], item: int
    ) -> PromptUpdateDetails:
        facts = None if isinstance(items, EmbeddingItems | DictEmbeddingItems) else facts_of(items, item)
        return self.info.content(modality, rows[item], facts)

    def _update_prompt(self, token_ids: list[int], updates: ItemUpdates) -> AppliedUpdates:
        """The same prompt where it has the placeholders of all rows already: another processor wrote it."""
        rules = self.info.ctx.tokens
        updates = {m: self._without_text(token_ids, rules[m], own) for m, own in updates.items()}
        rows = {
            m: [alternatives[0].content.full.count(rule.placeholder) for alternatives in updates.get(m, ())]
            for m, rule in rules.items()
        }
        found = {
            m: [at for at, token in enumerate(token_ids) if token == rule.placeholder] for m, rule in rules.items()
        }
        check_placeholders(rules, items=rows, found=found)
        if any(len(places) != sum(rows[modality]) for modality, places in found.items()):
            return super()._update_prompt(token_ids, updates)
        placed = {modality: _placed(modality, token_ids, found[modality], rows[modality]) for modality in updates}
        return AppliedUpdates(token_ids, placed, used_fallback=False)

    def _without_text(
        self, token_ids: Sequence[int], rule: TokenRule, updates: Sequence[Sequence[ResolvedPromptUpdate]]
    ) -> Sequence[Sequence[ResolvedPromptUpdate]]:
        """The updates of a modality; those that put nothing around placeholders where it stands there already."""
        if (tokenizer := self.info.ctx.tokenizer) is None or not stands_around(token_ids, tokenizer, rule):
            return updates
        return [[replace(each, content=_bare(each.content, rule)) for each in item] for item in updates]

    def _get_expected_rows(
        self,
        mm_items: MultiModalDataItems,
        out_mm_kwargs: MultiModalKwargsItems,  # noqa: ARG002
    ) -> dict[str, list[int]]:
        return {
            modality: [self._count(modality, items, i) for i in range(len(items))]
            for modality, items in mm_items.items()
        }

    def _count(self, modality: str, items: ModalityDataItems[object], index: int) -> int:
        if isinstance(items, EmbeddingItems | DictEmbeddingItems):
            return items.get_feature_size(index)
        return self.info.count(modality, facts_of(items, index))


def _modality_of(key: str) -> str:
    for ending in ("_embeds", *BESIDE):
        key = key.removesuffix(ending)
    return key


def _bare(content: PromptUpdateDetails, rule: TokenRule) -> PromptUpdateDetails:
    return PromptUpdateDetails([token for token in content.full if token == rule.placeholder])


def _placed(
    modality: str, token_ids: Sequence[int], places: Sequence[int], rows: Sequence[int]
) -> list[PlaceholderFeaturesInfo]:
    """Each item at as many of the places as it has rows, in order; other tokens may stand between them."""
    found, rest = [], iter(places)
    for item, count in enumerate(rows):
        own = [*islice(rest, count)]
        first, last = own[0], own[-1]
        tokens = [*token_ids[first : last + 1]]
        mask = torch.zeros(len(tokens), dtype=torch.bool)
        mask[torch.tensor(own) - first] = True
        whole = None if bool(mask.all()) else mask
        found.append(PlaceholderFeaturesInfo(modality, item, first, tokens, whole))
    return found
