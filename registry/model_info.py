"""What is known of a model class without importing it again: a record that goes to JSON and back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from pydantic import ConfigDict, TypeAdapter, ValidationError

from triptych import capabilities as can
from triptych.errors import CapabilityError, Problem


@dataclass(frozen=True)
class ModelInfo:
    """The capabilities of one architecture. `supported_video_pruning_methods` is empty when rows are never dropped."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    architecture: str
    is_text_generation_model: bool = False
    is_pooling_model: bool = False
    attn_type: can.AttnType = "decoder"
    default_seq_pooling_type: can.SequencePoolingType = "LAST"
    default_tok_pooling_type: can.TokenPoolingType = "ALL"
    score_type: can.ScoreType = "bi-encoder"
    supports_score_template: bool = False
    supports_multimodal: bool = False
    supports_multimodal_raw_input_only: bool = False
    requires_raw_input_tokens: bool = False
    supports_multimodal_encoder_tp_data: bool = False
    supports_mm_device_do_normalize: bool = False
    supports_tower_connector_lora: bool = False
    supported_video_pruning_methods: tuple[str, ...] = ()
    supports_mrope: bool = False
    supports_pp: bool = False
    supports_lora: bool = False
    supports_eagle: bool = False
    supports_eagle3: bool = False
    has_inner_state: bool = False
    is_attention_free: bool = False
    is_hybrid: bool = False
    has_noops: bool = False
    is_mixture_of_experts: bool = False
    supports_transcription: bool = False
    supports_transcription_only: bool = False
    supports_v0_only: bool = False

    @classmethod
    def of(cls, model: object, *, architecture: str) -> ModelInfo:
        """The record of a model class or an instance; older names on its class are accepted first.

        A field of True and False is the answer of the predicate of its name, but that a class whose instances are to
        hold experts counts as one that does. Raises CapabilityError for two score types in one class.
        """
        can.accept_older_names(model if isinstance(model, type) else type(model))
        answers = {field.name: getattr(can, field.name)(model) for field in fields(cls) if field.type == "bool"}
        answers["is_mixture_of_experts"] = can.capability_report(model)["is_mixture_of_experts"] in _WITH_EXPERTS
        pruning = model.supported_video_pruning_methods if can.supports_multimodal_pruning(model) else ()
        return cls(
            architecture=architecture,
            attn_type=can.get_attn_type(model),
            default_seq_pooling_type=can.get_default_seq_pooling_type(model),
            default_tok_pooling_type=can.get_default_tok_pooling_type(model),
            score_type=can.get_score_type(model),
            supported_video_pruning_methods=tuple(pruning),
            **answers,
        )

    def to_json(self) -> str:
        """The record as one JSON object, which `from_json` reads back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ModelInfo:
        """The record that `to_json` wrote: equal to it, tuples being tuples again.

        Raises CapabilityError, with every fault, for a text that is no record of this release.
        """
        try:
            return TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            faults = [Problem(f["msg"], ".".join(map(str, f["loc"]))) for f in error.errors()]
            raise CapabilityError(faults) from error


_WITH_EXPERTS = ("declared", "verified")
