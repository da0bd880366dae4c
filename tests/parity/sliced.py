"""A MiniCPM-V of each version and its reference, and prompts with images as the description has them."""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence as InTurn
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import PreTrainedTokenizerFast

import triptych
from tests.parity.multimodal import picture
from tests.parity.oracle import redraw, tiny_config
from tests.reference.minicpmv import MARKS, TARGET, MiniCPMV

GIVEN: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parent / "minicpmv.yaml").read_text("utf-8"))
SIZES = ((40, 70), (9, 14), (90, 130), (130, 55))  # height, width: two slices, none, six, three
PLACEHOLDER = GIVEN["shared"]["image_token_id"]


@dataclass(frozen=True)
class Pair:
    """The reference of a version, and ours, loaded from the file that it saved."""

    version: str
    reference: MiniCPMV
    folder: Path

    @classmethod
    def of(cls, version: str, folder: Path) -> Pair:
        case = GIVEN["cases"][version]
        text = tiny_config(case["text"])
        assert text is not None
        config = text | copy.deepcopy(GIVEN["shared"]) | case["config"]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            reference = MiniCPMV(config, case["text"]).eval().requires_grad_(False)
        redraw(reference, torch.Generator().manual_seed(zlib.crc32(version.encode())))
        save_file({name: t.contiguous() for name, t in reference.state_dict().items()}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        tokenizer().save_pretrained(folder)
        return cls(version, reference, folder)

    @cached_property
    def model(self) -> Any:
        return triptych.load(self.folder, dtype=torch.float32)

    def ask(self, *, images: int, seed: int = 0, words: int = 9) -> tuple[str, list[Image.Image], list[int]]:
        """A text of random words with images between them, the images, and the ids that the description has for it."""
        draw = np.random.default_rng([zlib.crc32(self.version.encode()), seed])
        pieces = [f"w{n}" for n in draw.integers(20, 200, words)]
        for place in sorted(draw.choice(len(pieces) + 1, images, replace=False), reverse=True):
            pieces.insert(place, TARGET)
        text, pictures = " ".join(pieces), [picture(draw, size) for size in SIZES[:images]]
        return text, pictures, tokenizer()(self.written(text, pictures))["input_ids"]

    def written(self, text: str, images: Sequence[Image.Image]) -> str:
        older = self.version == "2.5"
        for number, image in enumerate(images):
            shown = self.reference.older_text_of(image) if older else self.reference.text_of(image)
            text = text.replace(TARGET, shown if older else f"<image_id>{number}</image_id>{shown}", 1)
        return text

    def wanted(self, ids: Sequence[int], images: Sequence[Image.Image]) -> Tensor:
        return self.reference.logits(ids, images, placeholder=PLACEHOLDER)

    def rows(self, images: Sequence[Image.Image]) -> list[Tensor]:
        """Of several images in one call, by our processor, tower and projector."""
        prepared = self.model.processor(TARGET * len(images), {"image": list(images)})
        with torch.inference_mode():
            found: list[Tensor] = self.model.module.embed_multimodal(**prepared.mm_kwargs.get_data())
        return found


def tokenizer() -> PreTrainedTokenizerFast:
    """A word for each id, some for numbers, a new line and marks; a text begins with the token 1."""
    marks = {240 + n: text for n, text in enumerate((*MARKS.values(), "<image_id>", "</image_id>")) if text != "<unk>"}
    special = {0: "<none>", 1: "<s>", PLACEHOLDER: "<unk>"} | marks
    found = {n: f"w{n}" for n in range(256)} | special | {2: "\n", 3: "0", 4: "1", 5: "2"}
    backend = Tokenizer(WordLevel({word: number for number, word in found.items()}, unk_token="<none>"))
    backend.pre_tokenizer = InTurn([Split(" ", "removed"), Split(Regex("\n"), "isolated")])
    backend.add_special_tokens([*special.values()])
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<none>", bos_token="<s>")
