"""One question for each field of the record of a model, all answered by inspection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triptych.capabilities import AttnType, ScoreType, SequencePoolingType, TokenPoolingType
    from triptych.registry.resolution import Inspected, ResolutionSettings


Names = str | Sequence[str]


class Queries(ABC):
    """Questions about the model that serves the first of some architectures; each raises what `inspect` does."""

    @abstractmethod
    def inspect(self, architectures: Names, settings: ResolutionSettings) -> Inspected:
        """The record, the name that was asked for, and the name that it is registered under."""

    def is_text_generation_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.is_text_generation_model

    def is_pooling_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.is_pooling_model

    def is_score_template_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_score_template

    def is_multimodal_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_multimodal

    def is_multimodal_raw_input_only_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_multimodal_raw_input_only

    def is_raw_input_tokens_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.requires_raw_input_tokens

    def is_multimodal_encoder_tp_data_supported_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_multimodal_encoder_tp_data

    def is_mm_device_do_normalize_supported_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_mm_device_do_normalize

    def is_tower_connector_lora_supported_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_tower_connector_lora

    def is_mrope_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_mrope

    def is_pp_supported_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_pp

    def is_lora_supported_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_lora

    def is_eagle_supported_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_eagle

    def is_eagle3_supported_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_eagle3

    def model_has_inner_state(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.has_inner_state

    def is_attention_free_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.is_attention_free

    def is_hybrid_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.is_hybrid

    def is_noops_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.has_noops

    def is_mixture_of_experts_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.is_mixture_of_experts

    def is_transcription_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_transcription

    def is_transcription_only_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_transcription_only

    def is_v0_only_model(self, architectures: Names, settings: ResolutionSettings) -> bool:
        return self.inspect(architectures, settings).info.supports_v0_only

    def get_model_attn_type(self, architectures: Names, settings: ResolutionSettings) -> AttnType:
        return self.inspect(architectures, settings).info.attn_type

    def get_model_seq_pooling_type(self, architectures: Names, settings: ResolutionSettings) -> SequencePoolingType:
        return self.inspect(architectures, settings).info.default_seq_pooling_type

    def get_model_tok_pooling_type(self, architectures: Names, settings: ResolutionSettings) -> TokenPoolingType:
        return self.inspect(architectures, settings).info.default_tok_pooling_type

    def get_model_score_type(self, architectures: Names, settings: ResolutionSettings) -> ScoreType:
        return self.inspect(architectures, settings).info.score_type

    def get_model_video_pruning_methods(self, architectures: Names, settings: ResolutionSettings) -> tuple[str, ...]:
        return self.inspect(architectures, settings).info.supported_video_pruning_methods
