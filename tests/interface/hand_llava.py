"""A LLaVA whose class, processor, info and dummy inputs are written by hand, beside the one that is YAML.

Its tower and its language model are registered models, built of the sub-configs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from triptych import (
    AutoWeightsLoader,
    ComponentMap,
    IntermediateTensors,
    Settings,
    SupportsMultiModal,
    WeightsMapper,
    init_registered_model,
    maybe_prefix,
    register_processor,
)
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.items import MultiModalKwargsItems
from triptych.inputs.media import EmbeddingItems, MultiModalDataItems
from triptych.inputs.processing import BaseDummyInputsBuilder, BaseMultiModalProcessor, BaseProcessingInfo
from triptych.inputs.processing.processor import Keywords
from triptych.inputs.updates import PromptReplacement, PromptUpdate
from triptych.parts.step import Step

IMAGE = "<image>"


class Info(BaseProcessingInfo):
    """Of images of one size; how many tokens one takes is left to a dummy image to show."""

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return {"image": None}

    @property
    def tower(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.get_hf_config()["vision_config"]
        return found

    @property
    def rows(self) -> int:
        return int(self.tower["image_size"] // self.tower["patch_size"]) ** 2


class Dummy(BaseDummyInputsBuilder[Info]):
    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return f"{IMAGE} " * mm_counts.get("image", 0)

    def get_dummy_mm_data(
        self,
        seq_len: int,  # noqa: ARG002
        mm_counts: Mapping[str, int],
        mm_options: Mapping[str, Mapping[str, int]],
    ) -> dict[str, object]:
        side, options = self.info.tower["image_size"], mm_options.get("image")
        count = mm_counts.get("image", 0)
        return {"image": self._get_dummy_images(width=side, height=side, num_images=count, options=options)}


class Processor(BaseMultiModalProcessor[Info]):
    def _call_hf_processor(
        self,
        text: str | None,  # noqa: ARG002
        mm_data: Mapping[str, object],
        mm_kwargs: Keywords,  # noqa: ARG002
    ) -> Mapping[str, object]:
        prepare, images = self.info.get_image_processor(), mm_data["images"]
        assert isinstance(images, list)
        return {"pixel_values": torch.stack([prepare(image, name="image") for image in images])}

    def _get_mm_fields_config(
        self,
        hf_inputs: Mapping[str, object],
        mm_kwargs: Keywords,  # noqa: ARG002
    ) -> Mapping[str, MultiModalFieldConfig]:
        return {key: MultiModalFieldConfig.batched("image") for key in hf_inputs}

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        mm_kwargs: Keywords,  # noqa: ARG002
        out_mm_kwargs: MultiModalKwargsItems,  # noqa: ARG002
    ) -> Sequence[PromptUpdate]:
        token = self.info.get_hf_config()["image_token_index"]
        images = mm_items.get("image")

        def rows(item: int) -> list[int]:
            embeds = isinstance(images, EmbeddingItems)
            return [token] * (images.get_feature_size(item) if embeds else self.info.rows)

        return [PromptReplacement("image", [token], rows)]


@register_processor(Processor, info=Info, dummy_inputs=Dummy)
class HandLlava(nn.Module, SupportsMultiModal):
    """A tower whose class token is dropped, two linear layers, and a language model."""

    hf_to_triptych_mapper = WeightsMapper(
        prefix={
            "model.vision_tower.": "vision_tower.",
            "model.multi_modal_projector.": "multi_modal_projector.",
            "model.language_model.": "language_model.model.",
            "lm_head.": "language_model.lm_head.",
        }
    )

    def __init__(self, *, settings: Settings, prefix: str = "") -> None:
        super().__init__()
        config = settings.config
        tower, text = config["vision_config"], config["text_config"]
        with self._mark_tower_model(settings, "image"):
            self.vision_tower = init_registered_model(
                settings, config=tower, prefix=maybe_prefix(prefix, "vision_tower")
            )
            self.multi_modal_projector = nn.ModuleDict(
                {
                    "linear_1": nn.Linear(tower["hidden_size"], text["hidden_size"]),
                    "linear_2": nn.Linear(text["hidden_size"], text["hidden_size"]),
                }
            )
        with self._mark_language_model(settings):
            path = maybe_prefix(prefix, "language_model")
            self.language_model = init_registered_model(settings, config=text, prefix=path)
        self.configure_mm_token_handling(text["vocab_size"], [config["image_token_index"]])

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:  # noqa: ARG003
        return IMAGE if modality == "image" else None

    def get_mm_mapping(self) -> ComponentMap:
        return ComponentMap(
            language_model="language_model", towers=("vision_tower",), projectors=("multi_modal_projector",)
        )

    def embed_multimodal(self, **kwargs: object) -> list[Tensor]:
        if isinstance(embeds := kwargs.get("image_embeds"), Tensor | list):
            return list(embeds)
        pixels = kwargs["pixel_values"]
        assert isinstance(pixels, Tensor)
        rows, _ = self.vision_tower(pixels)
        first, second = self.multi_modal_projector["linear_1"], self.multi_modal_projector["linear_2"]
        return [second(gelu(first(x_ND[1:]))) for x_ND in rows]

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        *,
        step: Step,
        intermediate_tensors: IntermediateTensors | None = None,  # noqa: ARG002
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        found: Tensor = self.language_model(input_ids, positions, step=step, inputs_embeds=inputs_embeds)
        return found

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        found: Tensor = self.language_model.compute_logits(hidden_states)
        return found

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        return AutoWeightsLoader(self).load_weights(weights, mapper=self.hf_to_triptych_mapper)
