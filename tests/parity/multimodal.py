"""Models with an image tower: their cases, and prompts with images as the reference's own processor makes them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import LlavaProcessor, PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import triptych
from tests.parity.oracle import Oracle, build_oracle, tiny_config

GIVEN: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parent / "multimodal.yaml").read_text("utf-8"))
SIZES = ((40, 70), (9, 14), (56, 56), (90, 31))  # height, width
IMAGE = "<image>"


@dataclass(frozen=True)
class Case:
    """One config of LLaVA."""

    name: str
    config: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name

    @property
    def seed(self) -> int:
        return zlib.crc32(self.name.encode())

    @property
    def taken(self) -> set[int]:
        """The layers that rows are taken after, 0 being the embedding."""
        layers, count = self.config["vision_feature_layer"], self.config["vision_config"]["num_hidden_layers"]
        return {n % (count + 1) for n in (layers if isinstance(layers, list) else [layers])}

    def is_idle(self, tensor: str) -> bool:
        """Whether a tensor of the reference may do nothing: `multimodal.yaml` gives the reasons."""
        past = range(max(self.taken), self.config["vision_config"]["num_hidden_layers"])
        patterns = [*GIVEN["idle"], *(f"*vision_tower.encoder.layers.{n}.*" for n in past)]
        return any(fnmatchcase(tensor, pattern) for pattern in patterns)


def all_cases() -> Iterator[Case]:
    for name, case in GIVEN["cases"].items():
        assert not set(case) - {"tower", "text", "change", "of_tower", "of_text"}, name
        tower = GIVEN["towers"][case["tower"]] | case.get("of_tower", {})
        yield llava_case(name, tower, case["text"], case.get("change", {}), case.get("of_text", {}))


def llava_case(
    name: str, tower: Mapping[str, Any], text: str, change: Mapping[str, Any], of_text: Mapping[str, Any]
) -> Case:
    """LLaVA of a tower's config and the tiny config of a text model's architecture."""
    parent, own = tiny_config("LlavaForConditionalGeneration"), tiny_config(text)
    assert parent is not None
    assert own is not None, f"no tiny/{text}.json"
    own = {key: value for key, value in own.items() if key != "architectures"} | of_text
    return Case(name, parent | {"vision_config": dict(tower), "text_config": own} | change)


@dataclass(frozen=True)
class Asked:
    """A prompt with its images as given, and what the reference's processor makes of it."""

    text: str
    images: tuple[Image.Image, ...]
    ids: tuple[int, ...]
    media: Mapping[str, Tensor]


@dataclass(frozen=True)
class Pair:
    """A reference model with its processor, and ours, loaded from the checkpoint that they saved."""

    case: Case
    oracle: Oracle
    processor: Any

    @classmethod
    def of(cls, case: Case, folder: Path) -> Pair:
        """Built and saved in `folder`."""
        oracle = build_oracle(case.config, folder, seed=case.seed)
        processor = _processor(oracle)
        processor.save_pretrained(folder)
        return cls(case, oracle, processor)

    @cached_property
    def model(self) -> Any:
        return triptych.load(self.oracle.folder, dtype=torch.float32)

    @property
    def placeholder(self) -> int:
        return int(self.oracle.model.config.image_token_id)

    def ask(self, *, images: int, seed: int = 0, words: int = 9) -> Asked:
        """A prompt of random words, with images of several sizes between them."""
        generator = np.random.default_rng([self.case.seed, seed])
        pieces = [f"w{n}" for n in generator.integers(3, self.placeholder, words)]
        for place in sorted(generator.choice(words + 1, images, replace=False), reverse=True):
            pieces.insert(place, IMAGE)
        text, pictures = " ".join(pieces), tuple(picture(generator, size) for size in SIZES[:images])
        found = self.processor(text=text, images=list(pictures) or None, return_tensors="pt")
        media = {"pixel_values": found["pixel_values"]} if images else {}
        return Asked(text, pictures, tuple(found["input_ids"][0].tolist()), media)

    def wanted(self, asked: Asked) -> Tensor:
        return self.oracle.logits(asked.ids, **asked.media)


def picture(generator: np.random.Generator, size: Sequence[int]) -> Image.Image:
    """Large squares of random colours, which survive being resized."""
    coarse = Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return coarse.resize((size[1], size[0]), Image.Resampling.NEAREST)


def pack(asked: Sequence[Asked]) -> tuple[Tensor, list[Tensor], list[int]]:
    """Token ids `[T]` of prompts one after the other, their pixels in order, the length of each."""
    ids = torch.tensor([i for a in asked for i in a.ids])
    pixels = [p for a in asked for p in a.media.get("pixel_values", ())]
    return ids, pixels, [len(a.ids) for a in asked]


def _processor(oracle: Oracle) -> Any:
    config, tower = oracle.model.config, oracle.model.config.vision_config
    side = {"height": tower.image_size, "width": tower.image_size}
    of_clip = "clip" in tower.model_type
    images = CLIPImageProcessorPil(size={"shortest_edge": tower.image_size}, crop_size=side) if of_clip else None
    return LlavaProcessor(
        images or SiglipImageProcessorPil(size=side),
        _tokenizer(config.get_text_config().vocab_size, placeholder=config.image_token_id),
        patch_size=tower.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=int(of_clip),
    )


def _tokenizer(size: int, *, placeholder: int) -> PreTrainedTokenizerFast:
    """A word for each token id; a text begins with the token 1."""
    words = {number: f"w{number}" for number in range(size)} | {0: "<unk>", 1: "<s>", placeholder: IMAGE}
    backend = Tokenizer(WordLevel({word: number for number, word in words.items()}, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.add_special_tokens(["<unk>", "<s>", IMAGE])
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>")


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
