"""Small model classes that hold what each capability needs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from triptych.capabilities import (
    CAPABILITIES,
    EagleModelMixin,
    HasInnerState,
    HasNoOps,
    IntermediateTensors,
    IsAttentionFree,
    IsHybrid,
    MixtureOfExperts,
    PoolingModel,
    SupportsCrossEncoding,
    SupportsEagle,
    SupportsEagle3,
    SupportsLateInteraction,
    SupportsLoRA,
    SupportsMRoPE,
    SupportsMultiModal,
    SupportsMultiModalEmbeddings,
    SupportsMultiModalPruning,
    SupportsPP,
    SupportsScoreTemplate,
    SupportsTranscription,
    SupportsV0Only,
)

# Capability -> the interface that is inherited to declare it.
INTERFACES: dict[str, type] = {
    "supports_multimodal_embeddings": SupportsMultiModalEmbeddings,
    "supports_multimodal": SupportsMultiModal,
    "supports_multimodal_pruning": SupportsMultiModalPruning,
    "supports_mrope": SupportsMRoPE,
    "has_inner_state": HasInnerState,
    "is_attention_free": IsAttentionFree,
    "is_hybrid": IsHybrid,
    "has_noops": HasNoOps,
    "is_mixture_of_experts": MixtureOfExperts,
    "supports_pp": SupportsPP,
    "supports_lora": SupportsLoRA,
    "supports_v0_only": SupportsV0Only,
    "supports_eagle": SupportsEagle,
    "supports_eagle3": SupportsEagle3,
    "is_pooling_model": PoolingModel,
    "supports_cross_encoding": SupportsCrossEncoding,
    "supports_late_interaction": SupportsLateInteraction,
    "supports_score_template": SupportsScoreTemplate,
    "supports_transcription": SupportsTranscription,
}
FLAGGED = [name for name in INTERFACES if CAPABILITIES[name].flag]
PROVABLE = [name for name, row in CAPABILITIES.items() if row.flag and row.needs]


def with_members(name: str) -> dict[str, Any]:
    """A body that holds all that capability `name` needs, its flag left out."""
    return {member.name: _written(*member.parameters, name=member.name) for member in CAPABILITIES[name].needs}


def flags(name: str) -> dict[str, object]:
    """The flag of a capability up, and those of what it extends."""
    extended = {"supports_multimodal_embeddings": True} if name == "supports_multimodal" else {}
    return {CAPABILITIES[name].flag: CAPABILITIES[name].value, **extended}


def _written(*parameters: str, name: str) -> Any:
    if name == "supported_languages":
        return {"en": "English"}
    return {"forward": _staged, "embed_input_ids": _embedded}[name] if parameters else classmethod(_nothing)


def _staged(self: object, input_ids: Any, positions: Any, *, intermediate_tensors: Any) -> Any:  # noqa: ARG001
    return intermediate_tensors


def _embedded(self: object, input_ids: Any, multimodal_embeddings: Any = None, *, is_multimodal: Any = None) -> Any:  # noqa: ARG001
    return input_ids


def _nothing(cls: type, *_: object) -> tuple[()]:  # noqa: ARG001
    return ()


class TextModel(nn.Module):
    """A model by its structure alone, of four ids and rows of three."""

    def __init__(self, settings: object = None, prefix: str = "") -> None:
        super().__init__()
        self.settings, self.prefix = settings, prefix
        self.embed = nn.Embedding(4, 3)

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        return self.embed(input_ids)

    def forward(self, input_ids: Tensor, positions: Tensor, *, step: object = None) -> Tensor:  # noqa: ARG002
        return self.embed_input_ids(input_ids) + positions[:, None]


class Writer(TextModel):
    """It has a head too."""

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        return hidden_states @ self.embed.weight.T


class Staged(TextModel, SupportsPP):
    """It runs in stages."""

    def make_empty_intermediate_tensors(
        self, batch_size: int, dtype: torch.dtype, device: torch.device
    ) -> IntermediateTensors:
        return IntermediateTensors({"x": torch.zeros(batch_size, 3, dtype=dtype, device=device)})

    def forward(
        self,
        input_ids: Tensor,
        positions: Tensor,
        *,
        step: object = None,  # noqa: ARG002
        intermediate_tensors: IntermediateTensors | None = None,
    ) -> Tensor:
        return super().forward(input_ids, positions) if intermediate_tensors is None else intermediate_tensors["x"]


class Picture(nn.Module, SupportsMultiModal):
    """Items are rows already; the text model is a child."""

    def __init__(self, settings: object = None, prefix: str = "") -> None:
        super().__init__()
        self.tower = nn.Identity()
        self.text = TextModel(settings, prefix)

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        return f"<image {i}>" if modality == "image" else None

    def embed_multimodal(self, **kwargs: Any) -> list[Tensor]:
        return [self.tower(item) for item in kwargs["image"]]

    def forward(self, input_ids: Tensor, positions: Tensor, *, step: object = None) -> Tensor:
        return self.text(input_ids, positions, step=step)


class Stack(nn.Module, EagleModelMixin):
    """Eight layers, each of which adds its number."""

    def __init__(self, count: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Identity() for _ in range(count))


class Experts(TextModel, MixtureOfExperts):
    """Two layers of two experts with weights of one byte; its constructor counts them."""

    def __init__(self, settings: object = None, prefix: str = "") -> None:
        super().__init__(settings, prefix)
        self.moe_layers = [ExpertLayer(), ExpertLayer()]
        self.expert_weights = []
        self.num_moe_layers, self.num_expert_groups = 2, 1
        self.num_logical_experts = self.num_physical_experts = self.num_local_physical_experts = 2
        self.num_routed_experts, self.num_shared_experts, self.num_redundant_experts = 2, 0, 0

    def update_physical_experts_metadata(self, num_physical_experts: int, num_local_physical_experts: int) -> None:
        self.num_physical_experts, self.num_local_physical_experts = num_physical_experts, num_local_physical_experts


class ExpertLayer(nn.Module):
    """It keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.up = torch.ones(2, 3).to(torch.float8_e4m3fn)
        self.scale = torch.ones(2)

    def get_expert_weights(self) -> list[Tensor]:
        return [self.up, self.scale]

    def set_eplb_state(self, **told: object) -> None:
        self.told = told
