"""The processor of every encoder-decoder model that a spec describes: an item for each thing its decoder hears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from triptych.errors import InputError
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.items import MultiModalKwargsItems
from triptych.inputs.media import MultiModalDataItems, MultiModalDataParser
from triptych.inputs.processing.dummy import BaseDummyInputsBuilder
from triptych.inputs.processing.encoder_decoder import EncDecMultiModalProcessor
from triptych.inputs.processing.info import BaseProcessingInfo
from triptych.inputs.processing.processor import Keywords
from triptych.inputs.updates import PromptReplacement, PromptUpdate
from triptych.spec.item_facts import AudioFacts

PLACE = 0  # the id that stands for a row in the encoder's prompt, which nothing embeds


class SourceInfo(BaseProcessingInfo):
    """What a spec says of the sources of its decoder."""

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """One item of each source in a prompt."""
        return dict.fromkeys(self.ctx.sources, 1)

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int] | None:  # noqa: ARG002
        """The rows of an item of the size that takes most."""
        return {name: self.rows(name, self.ctx.sources[name].largest({})) for name in mm_counts}

    def rows(self, modality: str, item: object) -> int:
        """How many rows the encoder makes of an item. Raises InputError for one of another kind."""
        if not isinstance(item, AudioFacts):
            raise InputError("is read by no processor of a spec yet; sound is", path=modality)
        return self.ctx.sources[modality].rows(item, {})

    def get_data_parser(self) -> MultiModalDataParser:
        """What reads waveforms, which are brought to the rate that the checkpoint's feature extractor takes."""
        settings = self.ctx.settings
        return MultiModalDataParser(
            target_sr=self.ctx.rate,
            embeds=settings.embeds,
            expected_hidden_size=self.ctx.width,
            originals=self.originals,
        )


class SourceDummyInputs(BaseDummyInputsBuilder[SourceInfo]):
    """Silence that fills the encoder."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:  # noqa: ARG002
        return ""

    def get_dummy_mm_data(
        self,
        seq_len: int,  # noqa: ARG002
        mm_counts: Mapping[str, int],
        mm_options: Mapping[str, Mapping[str, int]],
    ) -> dict[str, object]:
        return {name: self._silence(name, count, mm_options.get(name)) for name, count in mm_counts.items()}

    def _silence(self, modality: str, count: int, options: Mapping[str, int] | None) -> Sequence[object]:
        item = self.info.ctx.sources[modality].largest({})
        assert isinstance(item, AudioFacts)
        return self._get_dummy_audios(length=item.samples, num_audios=count, options=options)


class SpecEncDecProcessor(EncDecMultiModalProcessor[SourceInfo]):
    """A sound through the checkpoint's own feature extractor; the encoder's prompt is a place for each of its rows."""

    Info: ClassVar[type] = SourceInfo
    requires_tokenizer: ClassVar[bool] = False  # token ids will do

    def create_encoder_prompt(
        self,
        prompt: str | Sequence[int],  # noqa: ARG002
        mm_items: MultiModalDataItems,
    ) -> list[int]:
        if missing := [name for name in self.info.ctx.sources if not mm_items.get_all_counts().get(name)]:
            raise InputError(f"a prompt of this model goes with {missing[0]}, and none is given", path=missing[0])
        return [PLACE] * len(self.info.ctx.sources)

    def _is_begun(self, token_ids: Sequence[int], start: int) -> bool:
        """What was said before may stand in front of it."""
        return start in token_ids

    def _call_hf_processor(
        self,
        text: str | None,  # noqa: ARG002
        mm_data: Mapping[str, object],
        mm_kwargs: Keywords,
    ) -> Mapping[str, object]:
        extract, sounds = self.info.ctx.feature_extractor, mm_data["audio"]
        assert isinstance(sounds, list)
        keywords = extract.accepted(mm_kwargs["audio"])
        return {"audio": [extract(sound, name=f"audio[{i}]", **keywords) for i, sound in enumerate(sounds)]}

    def _get_mm_fields_config(
        self,
        hf_inputs: Mapping[str, object],
        mm_kwargs: Keywords,  # noqa: ARG002
    ) -> Mapping[str, MultiModalFieldConfig]:
        return {key: MultiModalFieldConfig.batched(key.removesuffix("_embeds")) for key in hf_inputs}

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        mm_kwargs: Keywords,  # noqa: ARG002
        out_mm_kwargs: MultiModalKwargsItems,  # noqa: ARG002
    ) -> Sequence[PromptUpdate]:
        most = self.info.get_mm_max_tokens_per_item(0, mm_items.get_all_counts()) or {}
        return [PromptReplacement(name, [PLACE], [PLACE] * most[name]) for name in mm_items]
