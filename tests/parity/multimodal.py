"""Models with an image tower: their cases, and prompts with images as the reference's own processor makes them."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from transformers import (
    Idefics3Processor,
    InternVLProcessor,
    LlavaNextProcessor,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import triptych
from tests.parity.oracle import Oracle, build_oracle, tiny_config
from tests.parity.without_torchvision import pixtral_processor

GIVEN: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parent / "multimodal.yaml").read_text("utf-8"))
SIZES = ((40, 70), (9, 14), (56, 56), (90, 31))  # height, width
IMAGE, VIDEO = "<image>", "<video>"
TARGETS = (IMAGE, "<IMG_CONTEXT>", "[IMG]")


@dataclass(frozen=True)
class Case:
    """One config of LLaVA or of what came after it."""

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
        layers, count = self.config.get("vision_feature_layer", -1), self.config["vision_config"]["num_hidden_layers"]
        return {n % (count + 1) for n in (layers if isinstance(layers, list) else [layers])}

    def is_idle(self, tensor: str) -> bool:
        """Whether a tensor of the reference may do nothing: `multimodal.yaml` gives the reasons."""
        past = range(max(self.taken), self.config["vision_config"]["num_hidden_layers"])
        patterns = [
            *GIVEN["idle"],
            *(f"*vision_tower.encoder.{each}.{n}.*" for n in past for each in ("layer", "layers")),
        ]
        return any(fnmatchcase(tensor, pattern) for pattern in patterns)


def all_cases() -> Iterator[Case]:
    for name, case in GIVEN["cases"].items():
        assert not set(case) - {"family", "tower", "text", "change", "of_tower", "of_text"}, name
        tower = GIVEN["towers"][case["tower"]] | case.get("of_tower", {})
        changes = case.get("change", {}), case.get("of_text", {})
        yield llava_case(name, tower, case["text"], *changes, family=case.get("family", "Llava"))


def llava_case(
    name: str,
    tower: Mapping[str, Any],
    text: str,
    change: Mapping[str, Any],
    of_text: Mapping[str, Any],
    *,
    family: str = "Llava",
) -> Case:
    """The family's tiny config, with a tower's config and the tiny config of a text model's architecture."""
    parent, own = tiny_config(f"{family}ForConditionalGeneration"), tiny_config(text)
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
            pieces.insert(place, self.processor.image_token)
        text, pictures = " ".join(pieces), tuple(picture(generator, size) for size in SIZES[:images])
        found = self.processor(text=text, images=list(pictures) or None, return_tensors="pt")
        media = {key: value for key, value in found.items() if key not in ("input_ids", "attention_mask")}
        return Asked(text, pictures, tuple(found["input_ids"][0].tolist()), media)

    def wanted(self, asked: Asked) -> Tensor:
        return self.oracle.logits(asked.ids, **asked.media)

    def items(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        """What `embed_multimodal` takes, by our own processor; each image alone."""
        found: dict[str, Any] = {}
        for image in images:
            prepared = self.model.processor([self.placeholder], {"image": [image]})
            for key, items in prepared.mm_kwargs.get_data().items():
                found.setdefault(key, []).extend(items)
        return found


def picture(generator: np.random.Generator, size: Sequence[int]) -> Image.Image:
    """Large squares of random colours, which survive being resized."""
    coarse = Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return coarse.resize((size[1], size[0]), Image.Resampling.NEAREST)


def _processor(oracle: Oracle) -> Any:
    config = oracle.model.config
    kind = "pixtral" if config.vision_config.model_type == "pixtral" else config.model_type
    return PROCESSORS[kind](config, _tokenizer(config, *TEXTS.get(kind, ())))


def _llava(config: Any, tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    side, of_clip = _side(config), "clip" in config.vision_config.model_type
    images = CLIPImageProcessorPil(size={"shortest_edge": side["height"]}, crop_size=side) if of_clip else None
    return LlavaProcessor(images or SiglipImageProcessorPil(size=side), tokenizer, **_strategy(config))


def _llava_next(config: Any, tokenizer: PreTrainedTokenizerFast) -> LlavaNextProcessor:
    side = _side(config)
    tiles = {"crop_size": side, "image_grid_pinpoints": config.image_grid_pinpoints}
    images = LlavaNextImageProcessorPil(size={"shortest_edge": side["height"]}, **tiles)
    return LlavaNextProcessor(images, tokenizer, **_strategy(config))


class WithoutVideos(LlavaOnevisionProcessor):
    """Its processor of videos needs torchvision, so there is none to be made or saved."""

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> None:  # noqa: ARG002
        self.image_processor.save_pretrained(save_directory)
        self.tokenizer.save_pretrained(save_directory)


class WithoutVideoProcessor(InternVLProcessor):
    """The same."""

    save_pretrained = WithoutVideos.save_pretrained


def _llava_onevision(config: Any, tokenizer: PreTrainedTokenizerFast) -> LlavaOnevisionProcessor:
    side = _side(config)
    images = LlavaOnevisionImageProcessorPil(size=side, image_grid_pinpoints=config.image_grid_pinpoints)
    found = WithoutVideos.__new__(WithoutVideos)
    found.__dict__ |= vars(LlavaProcessor(images, tokenizer))
    found.num_image_tokens = (side["height"] // config.vision_config.patch_size) ** 2
    found.video_token, found.vision_feature_select_strategy, found.vision_aspect_ratio = (
        VIDEO,
        "full",
        config.vision_aspect_ratio,
    )
    return found


def _pixtral(config: Any, tokenizer: PreTrainedTokenizerFast) -> Any:
    patch, edge = config.vision_config.patch_size, config.vision_config.image_size
    merge = getattr(config, "spatial_merge_size", 1)
    images = PixtralImageProcessorPil(size={"longest_edge": edge}, patch_size={"height": patch, "width": patch})
    return pixtral_processor()(images, tokenizer, patch_size=patch, spatial_merge_size=merge)


def _internvl(config: Any, tokenizer: PreTrainedTokenizerFast) -> InternVLProcessor:
    height, width = config.vision_config.image_size
    patches = (height // config.vision_config.patch_size[0]) ** 2
    images = GotOcr2ImageProcessorPil(size={"height": height, "width": width}, max_patches=5)
    found = WithoutVideoProcessor.__new__(WithoutVideoProcessor)
    start, end, target, video = TEXTS["internvl"]
    found.__dict__ |= vars(LlavaProcessor(images, tokenizer))
    found.image_seq_length = int(patches * config.downsample_ratio**2)
    found.start_image_token, found.end_image_token, found.image_token, found.video_token = start, end, target, video
    found.image_token_id = config.image_token_id
    found.multimodal_pattern = re.compile(f"(?P<image>{target})|(?P<video>{video})")
    return found


def _idefics3(config: Any, tokenizer: PreTrainedTokenizerFast) -> Idefics3Processor:
    side, patch = config.vision_config.image_size, config.vision_config.patch_size
    images = Idefics3ImageProcessorPil(size={"longest_edge": 3 * side}, max_image_size={"longest_edge": side})
    return Idefics3Processor(images, tokenizer, image_seq_len=(side // patch // config.scale_factor) ** 2)


PROCESSORS: dict[str, Callable[[Any, PreTrainedTokenizerFast], Any]] = {
    "llava": _llava,
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
    "internvl": _internvl,
    "idefics3": _idefics3,
    "pixtral": _pixtral,
}
TEXTS = {  # of a processor, beside that for an image
    "internvl": ("<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
    "idefics3": (
        *("<fake_token_around_image>", "<global-img>", "<end_of_utterance>"),
        *(f"<row_{line}_col_{column}>" for line in range(1, 4) for column in range(1, 4)),
    ),
    "pixtral": ("[IMG]", "[IMG_BREAK]", "[IMG_END]"),
}


def _side(config: Any) -> dict[str, int]:
    return {"height": config.vision_config.image_size, "width": config.vision_config.image_size}


def _strategy(config: Any) -> dict[str, Any]:
    """What a processor is told to count the rows of an image."""
    return {
        "patch_size": config.vision_config.patch_size,
        "vision_feature_select_strategy": config.vision_feature_select_strategy,
        "num_additional_image_tokens": int("clip" in config.vision_config.model_type),
    }


def _tokenizer(config: Any, *texts: str) -> PreTrainedTokenizerFast:
    """A word for each token id; a text begins with the token 1. The target for an image is among `texts`, or IMAGE."""
    target = next((text for text in texts if text in TARGETS), IMAGE)
    last = config.get_text_config().vocab_size - 1
    others = [text for text in texts if text != target]
    special = {last - number: text for number, text in enumerate(others)}
    special |= {0: "<unk>", 1: "<s>", config.image_token_id: target}
    if (video := getattr(config, "video_token_id", None)) is not None:
        special[video] = VIDEO
    words = {number: f"w{number}" for number in range(config.get_text_config().vocab_size)} | special
    backend = Tokenizer(WordLevel({word: number for number, word in words.items()}, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.add_special_tokens([*special.values()])
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>")


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
