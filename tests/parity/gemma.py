"""Gemma 3 and PaliGemma: their cases, and prompts with images as the reference's own processor makes them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence, Split
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import Gemma3Processor, PaliGemmaProcessor, PreTrainedTokenizerFast
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import triptych
from tests.parity.multimodal import SIZES, picture
from tests.parity.oracle import Oracle, build_oracle, tiny_config

GIVEN: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parent / "gemma.yaml").read_text("utf-8"))
NEWLINES = 6  # at the most beside each other, which are one token


@dataclass(frozen=True)
class Case:
    """One config of one family."""

    name: str
    family: str
    config: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name

    @property
    def seed(self) -> int:
        return zlib.crc32(self.name.encode())

    @property
    def suffix_type(self) -> int:
        """What the reference calls the type of tokens of an answer."""
        return FAMILIES[self.family].suffix_type

    @staticmethod
    def is_idle(tensor: str) -> bool:
        """Whether a tensor of the reference may do nothing: `gemma.yaml` gives the reasons."""
        return any(fnmatchcase(tensor, pattern) for pattern in GIVEN["idle"])


def all_cases() -> Iterator[Case]:
    for name, case in GIVEN["cases"].items():
        assert not set(case) - {"family", "tower", "text", "change", "of_tower", "of_text"}, name
        parent, text = tiny_config(f"{case['family']}ForConditionalGeneration"), tiny_config(case["text"])
        assert parent is not None
        assert text is not None
        text = {key: value for key, value in text.items() if key != "architectures"} | case.get("of_text", {})
        tower = GIVEN["towers"][case.get("tower", "siglip")] | case.get("of_tower", {})
        defaults = FAMILIES[case["family"]].config
        own = {"vision_config": tower, "text_config": text}
        yield Case(name, case["family"], parent | own | defaults | case.get("change", {}))


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
        processor = FAMILIES[case.family].processor(oracle.model.config)
        processor.save_pretrained(folder)
        return cls(case, oracle, processor)

    @cached_property
    def model(self) -> Any:
        return triptych.load(self.oracle.folder, dtype=torch.float32)

    @property
    def placeholder(self) -> int:
        return int(self.oracle.model.config.image_token_id)

    def ask(self, *, images: int, seed: int = 0, words: int = 9) -> Asked:
        """A prompt of random words, with images of several sizes among them."""
        generator = np.random.default_rng([self.case.seed, seed])
        pieces = [f"w{n}" for n in generator.integers(20, 200, words)]
        text = FAMILIES[self.case.family].prompt(pieces, images, generator)
        pictures = tuple(picture(generator, size) for size in SIZES[:images])
        found = self._processed(text, pictures)
        media = {key: found[key] for key in ("pixel_values", "token_type_ids") if key in found}
        return Asked(text, pictures, tuple(found["input_ids"][0].tolist()), media)

    def _processed(self, text: str, pictures: tuple[Image.Image, ...]) -> Mapping[str, Tensor]:
        if not pictures and self.case.family == "PaliGemma":  # whose processor takes no text alone
            ids = torch.tensor([self.processor.tokenizer(f"<bos>{text}\n")["input_ids"]])
            return {"input_ids": ids, "token_type_ids": torch.zeros_like(ids)}
        found = self.processor(text=[text], images=[list(pictures)] if pictures else None)
        return {key: torch.from_numpy(np.asarray(value)) for key, value in found.items() if key != "num_crops"}

    def wanted(self, asked: Asked) -> Tensor:
        return self.oracle.logits(asked.ids, **asked.media)


def tokenizer(size: int, special: Mapping[int, str], *, begins: bool = True, **named: str) -> PreTrainedTokenizerFast:
    """A word for each token id, and one for each number of newlines; a text begins with the token 1 if it `begins`."""
    newlines = {number + 1: "\n" * number for number in range(1, NEWLINES + 1)}
    words = {number: f"w{number}" for number in range(size)} | {0: "<unk>", 1: "<bos>"} | newlines | dict(special)
    backend = Tokenizer(WordLevel({word: number for number, word in words.items()}, unk_token="<unk>"))
    backend.pre_tokenizer = Sequence([Split(" ", "removed"), Split(Regex("\n+"), "isolated")])
    backend.add_special_tokens(["<unk>", "<bos>", *special.values()])
    if begins:
        backend.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<bos>", extra_special_tokens=named
    )


def _gemma3(config: Any) -> Gemma3Processor:
    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    ids = (config.boi_token_index, config.eoi_token_index, config.image_token_index)
    special = dict(zip(ids, named.values(), strict=True))
    side = {"height": config.vision_config.image_size, "width": config.vision_config.image_size}
    return Gemma3Processor(
        Gemma3ImageProcessorPil(size=side),
        tokenizer(config.get_text_config().vocab_size, special, **named),
        image_seq_length=config.mm_tokens_per_image,
    )


def _among(pieces: list[str], images: int, generator: np.random.Generator) -> str:
    """The first image after a newline, the others wherever they fall."""
    for place in sorted(generator.choice(len(pieces) + 1, images, replace=False), reverse=True):
        pieces.insert(place, "<start_of_image>")
    return " ".join(pieces).replace(" <start_of_image>", "\n<start_of_image>", 1)


def _paligemma(config: Any) -> PaliGemmaProcessor:
    side = {"height": config.vision_config.image_size, "width": config.vision_config.image_size}
    images = SiglipImageProcessorPil(
        size=side, image_seq_length=(side["height"] // config.vision_config.patch_size) ** 2
    )
    special = {config.image_token_id: "<image>"}
    return PaliGemmaProcessor(
        images, tokenizer(config.get_text_config().vocab_size, special, begins=False, image_token="<image>")
    )


def _before(pieces: list[str], images: int, generator: np.random.Generator) -> str:  # noqa: ARG001
    """Images first, some with a place in the text and some without."""
    text = " ".join(pieces)
    return text if images == 1 else "<image>" * images + text


@dataclass(frozen=True)
class Family:
    """Its processor of a config, how a prompt is written, and what is changed of its tiny config in every case."""

    processor: Callable[[Any], Any]
    prompt: Callable[[list[str], int, np.random.Generator], str]
    config: Mapping[str, Any]
    suffix_type: int


FAMILIES = {
    "Gemma3": Family(_gemma3, _among, {"mm_tokens_per_image": 4}, 0),
    "PaliGemma": Family(_paligemma, _before, {"projection_dim": 64}, 1),
}
