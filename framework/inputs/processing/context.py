"""What a processor is built with: the checkpoint and how it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from triptych.errors import InputError
from triptych.inputs.media.keywords import merge_processor_kwargs
from triptych.inputs.processing.feature_extractor import FeatureExtractor, load_feature_extractor
from triptych.inputs.processing.image_processor import ImageProcessor, load_image_processor, stand_in_for_checkpoint
from triptych.inputs.processing.video_config import load_video_config, said_last
from triptych.inputs.tokenizer import Tokenizer
from triptych.settings import MultiModalSettings
from triptych.spec.item_facts import ProcessorConfig
from triptych.spec.sources import SourceRule
from triptych.spec.tokens import TokenRule


@dataclass(frozen=True, eq=False)
class InputProcessingContext:
    """The checkpoint's `config`, tokenizer and folder; `tokens` are what a spec says of placeholders by modality,
    `sources` what it says of the items that a decoder hears.

    `name` tells the items of one model from those of another. `reader` says all else that their tensors and rows depend
    on: processors for which it is the same find in one cache what either has made; empty, none but its own. Floating
    tensors are made `dtype`; `width` is that of the language model's rows, which embeds have to be of. `load_images`
    makes the image processor of a folder, or of none.
    """

    config: Mapping[str, Any]
    settings: MultiModalSettings = field(default_factory=MultiModalSettings)
    tokenizer: Tokenizer | None = None
    folder: Path | None = None
    tokens: Mapping[str, TokenRule] = field(default_factory=dict)
    sources: Mapping[str, SourceRule] = field(default_factory=dict)
    name: str = ""
    reader: str = ""
    dtype: torch.dtype | None = None
    width: int | None = None
    load_images: Callable[[Path | None], ImageProcessor] | None = None

    def get_tokenizer(self) -> Tokenizer:
        """The tokenizer. Raises InputError where there is none."""
        if self.tokenizer is None:
            raise InputError("is text, and this model has no tokenizer; give token ids")
        return self.tokenizer

    @cached_property
    def image_processor(self) -> ImageProcessor:
        """The folder's; where there is no folder, that which the size of the spec asks for.

        Raises CheckpointError for a folder without one, InputError where nothing says which.
        """
        if self.load_images is not None:
            return self.load_images(self.folder)
        if self.folder is not None:
            return load_image_processor(self.folder)
        rule = self.tokens.get("image") or self.tokens.get("video")
        return stand_in_for_checkpoint(rule.grid if rule is not None else None)

    @cached_property
    def asked_of_videos(self) -> ProcessorConfig:
        """What the settings say of videos to the processor."""
        return merge_processor_kwargs(self.settings.processor, {})["videos"]

    @cached_property
    def feature_extractor(self) -> FeatureExtractor:
        """The folder's. Raises CheckpointError for a folder without one, InputError where there is no folder."""
        if self.folder is None:
            raise InputError("sound needs the feature extractor of a checkpoint folder; this model came without one")
        return load_feature_extractor(self.folder)

    @property
    def rate(self) -> int | None:
        """Hz of the sound that the model hears; None for a model that hears none, and where there is no folder."""
        hears = "audio" in (*self.tokens, *self.sources)
        return self.feature_extractor.rate if hears and self.folder is not None else None

    def processor_config(self, modality: str) -> ProcessorConfig:
        """What the processor of a modality is set to; where nothing says, what sizes take for granted.

        Of images and videos that is what the spec, the files and the settings say, the last word counting;
        `load_video_config` tells which files speak of videos.
        """
        if modality == "video":
            return self._video_config
        if modality == "audio":
            return {} if self.folder is None else self.feature_extractor.config
        return self._image_config

    @cached_property
    def _image_config(self) -> ProcessorConfig:
        defaults = self.tokens["image"].defaults if "image" in self.tokens else {}
        own = {} if self.folder is None and self.load_images is None else self.image_processor.config
        return said_last(defaults, own, merge_processor_kwargs(self.settings.processor, {})["images"])

    @cached_property
    def _video_config(self) -> ProcessorConfig:
        defaults = self.tokens["video"].defaults if "video" in self.tokens else {}
        in_file = load_video_config(self.folder) if self.folder is not None else {}
        return said_last(defaults, in_file, self.asked_of_videos)
