"""What a processor knows before any item is there: limits, sizes, where the checkpoint's files are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from triptych.inputs.media import MultiModalDataParser, get_allowed_limits
from triptych.inputs.media.originals import OriginalsRead
from triptych.inputs.processing.context import InputProcessingContext
from triptych.inputs.processing.image_processor import ImageProcessor
from triptych.inputs.processing.inputs import MultiModalInputs
from triptych.inputs.tokenizer import Tokenizer


class BaseProcessingInfo(ABC):
    """Facts of one checkpoint that its processor and its dummy inputs share."""

    def __init__(self, ctx: InputProcessingContext) -> None:
        self.ctx = ctx

    @cached_property
    def originals(self) -> OriginalsRead:
        """What was read for this model without a fault."""
        return OriginalsRead()

    @abstractmethod
    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """How many items of each modality the model takes in one prompt at the most; None: any number."""

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int] | None:  # noqa: ARG002
        """The most placeholders that one item of each modality takes; None: a dummy item is processed to find out."""
        return None

    def get_blocks(self, prompt: MultiModalInputs) -> tuple[range, ...]:  # noqa: ARG002
        """Which of the prompt's rows see each other both ways, where others see what came before them."""
        return ()

    def get_data_parser(self) -> MultiModalDataParser:
        """What reads the items that users give."""
        return MultiModalDataParser(
            embeds=self.ctx.settings.embeds, expected_hidden_size=self.ctx.width, originals=self.originals
        )

    def get_hf_config(self) -> Mapping[str, Any]:
        """The checkpoint's config, as its file has it."""
        return self.ctx.config

    def get_tokenizer(self) -> Tokenizer:
        """Raises InputError for a model without one."""
        return self.ctx.get_tokenizer()

    def get_image_processor(self) -> ImageProcessor:
        """The checkpoint's, without code of its folder. Raises CheckpointError or InputError where there is none."""
        return self.ctx.image_processor

    def get_allowed_mm_limits(self) -> dict[str, int]:
        """How many items of each modality one prompt may have: by the settings and by the model."""
        return get_allowed_limits(self.ctx.settings, self.get_supported_mm_limits())
