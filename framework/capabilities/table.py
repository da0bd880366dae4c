"""Every capability: the flag that declares it, and the members that prove it. Data, for predicates and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from triptych.capabilities.members import Member, has_member, is_declared, is_promised, written_on

# absent: neither flag nor members. declared: the flag stands, and only an instance can prove it. declared only: nothing
# here can prove it. implemented: the members are there, the flag is not. verified: both. contradicted: the flag alone.
State = Literal["absent", "declared", "declared only", "implemented", "verified", "contradicted"]


@dataclass(frozen=True)
class Capability:
    """A class declares it with attribute `flag` reading `value`; the members in `needs` prove it.

    Without a flag, the structure declares it too. With `unless` set on a class, nothing needs to prove it.
    """

    name: str
    flag: str = ""
    needs: tuple[Member, ...] = ()
    value: object = True
    unless: str = ""

    def is_declared(self, model: object) -> bool:
        """Whether the flag is up; without one, whether an interface that declares the members is inherited.

        Any other value than True counts wherever in the hierarchy of classes, or on an instance, it stands: a default
        may stand before it.
        """
        if not self.flag:
            return any(is_declared(model, member) for member in self.needs)
        if self.value is True:
            return bool(getattr(model, self.flag, False))
        return any(value == self.value for value, _ in written_on(model, self.flag))

    def needs_of(self, model: object) -> tuple[Member, ...]:
        """What this class or instance must hold."""
        return () if self.unless and getattr(model, self.unless, False) else self.needs

    def missing(self, model: object) -> tuple[Member, ...]:
        """What it needs that a class or instance does not have and, of a class, that its instances are not to have."""
        return tuple(m for m in self.needs_of(model) if not has_member(model, m) and not is_promised(model, m))

    def state(self, model: object) -> State:
        """Where a class or an instance stands."""
        declared, needs, missing = self.is_declared(model), self.needs_of(model), self.missing(model)
        if missing or not needs:
            alone: State = "contradicted" if missing else "declared only"
            return alone if declared else "absent"
        if not all(has_member(model, m) for m in needs):
            return "declared" if declared or not self.flag else "absent"
        return "verified" if declared or not self.flag else "implemented"


def _members(*names: str) -> tuple[Member, ...]:
    return tuple(map(Member, names))


_EXPERTS = (
    "expert_weights",
    "num_moe_layers",
    "num_expert_groups",
    "num_logical_experts",
    "num_physical_experts",
    "num_local_physical_experts",
    "num_routed_experts",
    "num_shared_experts",
    "num_redundant_experts",
    "moe_layers",
    "set_eplb_state",
    "update_physical_experts_metadata",
)
_ROWS_OF_ITEMS = Member("embed_input_ids", ("multimodal_embeddings", "is_multimodal"))
_DETECTION = ("get_language_detection_prompt", "parse_language_detection_output", "get_language_token_ids")

_TABLE = (
    # multimodal inputs
    Capability("supports_multimodal_embeddings", "supports_multimodal_embeddings", (_ROWS_OF_ITEMS,)),
    Capability(
        "supports_multimodal",
        "supports_multimodal",
        (*_members("get_placeholder_str", "embed_multimodal", "get_language_model"), _ROWS_OF_ITEMS),
        unless="supports_multimodal_raw_input_only",
    ),
    Capability("supports_multimodal_raw_input_only", "supports_multimodal_raw_input_only"),
    Capability("requires_raw_input_tokens", "requires_raw_input_tokens"),
    Capability("supports_multimodal_encoder_tp_data", "supports_encoder_tp_data"),
    Capability("supports_mm_device_do_normalize", "supports_mm_device_do_normalize"),
    Capability("supports_tower_connector_lora", "supports_tower_connector_lora", _members("get_mm_lora_token_counts")),
    Capability(
        "supports_multimodal_pruning",
        "supports_multimodal_pruning",
        _members("supported_video_pruning_methods", "recompute_mrope_positions"),
    ),
    Capability("supports_mrope", "supports_mrope", _members("get_mrope_input_positions")),
    # layers and their state
    Capability("has_inner_state", "has_inner_state"),
    Capability("is_attention_free", "is_attention_free"),
    Capability(
        "is_hybrid",
        "is_hybrid",
        _members("get_mamba_state_shape_from_config", "get_mamba_state_copy_func", "get_mamba_state_copy_funcs"),
    ),
    Capability("has_noops", "has_noops"),
    Capability("is_mixture_of_experts", needs=_members(*_EXPERTS)),
    # how it runs
    Capability(
        "supports_pp",
        "supports_pp",
        (Member("make_empty_intermediate_tensors"), Member("forward", ("intermediate_tensors",))),
    ),
    Capability("supports_lora", "supports_lora", _members("packed_modules_mapping", "embedding_modules")),
    Capability("is_3d_moe_weight", "is_3d_moe_weight"),
    Capability("is_non_gated_moe", "is_non_gated_moe"),
    Capability("supports_v0_only", "supports_v0_only"),
    # drafting
    Capability("supports_eagle", "supports_eagle"),
    Capability("supports_eagle3", "supports_eagle3", _members("set_aux_hidden_state_layers")),
    Capability("has_own_lm_head", "has_own_lm_head"),
    Capability("has_own_embed_tokens", "has_own_embed_tokens"),
    # pooling and scoring
    Capability("is_pooling_model", "is_pooling_model", _members("pooler")),
    Capability("supports_cross_encoding", "score_type", value="cross-encoder"),
    Capability("supports_late_interaction", "score_type", value="late-interaction"),
    Capability(
        "supports_score_template", "supports_score_template", _members("get_score_template", "post_process_tokens")
    ),
    # transcription
    Capability(
        "supports_transcription",
        "supports_transcription",
        _members("supported_languages", "get_generation_prompt", "get_speech_to_text_config"),
    ),
    Capability("supports_transcription_only", "supports_transcription_only"),
    Capability("supports_segment_timestamp", "supports_segment_timestamp"),
    Capability(
        "supports_diarized_transcription", "supports_diarized_transcription", _members("parse_diarized_transcript")
    ),
    Capability("supports_explicit_language_detection", "supports_explicit_language_detection", _members(*_DETECTION)),
)

CAPABILITIES = {row.name: row for row in _TABLE}
