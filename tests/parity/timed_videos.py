"""The processor of a family whose videos stand moment by moment after texts of their times, without torchvision.

Frames are brought to their size by its processor of images, whose variant for Pillow needs none; all else is its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import BatchFeature, PreTrainedTokenizerFast
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.video_utils import VideoMetadata

from tests.parity.grids import Pair, changed
from tests.parity.oracle import Named
from tests.parity.without_torchvision import qwen_videos

IMAGE, VIDEO = "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"
SPECIAL = {"vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>", "image": "<|image_pad|>"}
SPECIAL |= {"video": "<|video_pad|>"}
WORDS = ["<0.5 seconds> what is seen after <10.3 seconds>, and <247.1 seconds>?", "two videos: one. Two"]
SIZE = {"shortest_edge": 6 * 32**2, "longest_edge": 60 * 32**2}  # pixels of a whole video


def tokenizer() -> PreTrainedTokenizerFast:
    """Every byte is a token, and some that often stand together are one; no text begins with more than it has."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(WORDS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False))
    made.add_special_tokens([*SPECIAL.values()])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token=None, eos_token=None)


def pair_of(case: Named, folder: Path) -> Pair:
    """A pair whose vocabulary is that of `tokenizer`, with limits for videos that are others than those for images."""
    texts = tokenizer()
    ids = {f"{name}_token_id": texts.convert_tokens_to_ids(text) for name, text in SPECIAL.items()}
    config = changed(case.config, {**ids, "text_config": {"vocab_size": len(texts)}})
    found = Pair.of(Named(case.name, case.family, config), folder)
    texts.save_pretrained(folder)
    (folder / "video_preprocessor_config.json").write_text(json.dumps({"size": SIZE}))
    return found


def shades(count: int, *, height: int = 60, width: int = 90, seed: int = 0) -> NDArray[np.uint8]:
    """Frames of large coloured squares."""
    draw = np.random.default_rng(seed)
    coarse = [Image.fromarray(draw.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in range(count)]
    return np.stack([np.asarray(each.resize((width, height), Image.Resampling.NEAREST)) for each in coarse])


class PillowVideos:
    """The reference's processor of videos, of frames that are taken already; `metadata` says how."""

    temporal_patch_size, merge_size, valid_kwargs = 2, 2, None

    def __init__(self, images: Any, metadata: Sequence[VideoMetadata], config: Mapping[str, Any]) -> None:
        self.images, self.metadata, self.config = images, metadata, config
        self.module = qwen_videos("qwen3_vl")

    def __call__(self, videos: Sequence[NDArray[np.uint8]], **_: Any) -> BatchFeature:
        found = [self._prepared(video) for video in videos]
        data = {"pixel_values_videos": torch.cat([vectors for vectors, _ in found])}
        grids = {"video_grid_thw": torch.tensor([grid for _, grid in found])}
        return BatchFeature({**data, **grids, "video_metadata": list(self.metadata)})

    def sides(self, frames: int, height: int, width: int) -> tuple[int, int]:
        """The height and width that the reference makes the frames of a video, capped if the config says so."""
        own, sized = self.module.Qwen3VLVideoProcessor, list[Any]()
        of_all, self.module.BaseVideoProcessor.resize = (
            self.module.BaseVideoProcessor.resize,
            lambda _, image, size, resample: sized.append(size),  # noqa: ARG005
        )
        try:
            reference = own.__new__(own)
            reference.max_video_tokens = self.config.get("max_video_tokens") or own.max_video_tokens
            shape = torch.empty(1, frames, 3, height, width, device="meta")
            size, patch = SimpleNamespace(**self.config["size"]), self.images.patch_size
            reference.resize(shape, size, None, 2 * patch, 2, self.config.get("cap_pixels_per_frame"))
        finally:
            self.module.BaseVideoProcessor.resize = of_all
        return sized[0].height, sized[0].width

    def _prepared(self, video: NDArray[np.uint8]) -> tuple[Tensor, list[int]]:
        images, (height, width) = self.images, self.sides(*video.shape[:3])
        pixels = []
        for frame in video:
            sized = np.asarray(Image.fromarray(frame).resize((width, height), images.resample)).transpose(2, 0, 1)
            normed = images.normalize(images.rescale(sized, images.rescale_factor), images.image_mean, images.image_std)
            pixels.append(torch.from_numpy(np.asarray(normed, np.float32)))
        patchify = self.module.Qwen3VLVideoProcessor.patchify
        vectors, *grid = patchify(None, torch.stack(pixels)[None], images.patch_size, 2, 2)
        return vectors[0], grid


class Reference(Qwen3VLProcessor):
    """The reference's whole processor, of parts that need no torchvision."""

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:  # noqa: ARG002
        return type(argument)


def reference(pair: Pair, metadata: Sequence[VideoMetadata], **config: Any) -> Reference:
    """Of a checkpoint folder; `config` is what its processor of videos is set to."""
    images = Qwen2VLImageProcessorPil.from_pretrained(pair.oracle.folder)
    texts = PreTrainedTokenizerFast.from_pretrained(pair.oracle.folder)
    return Reference(images, texts, PillowVideos(images, metadata, {"size": SIZE, **config}))
