"""Models with an image tower: their cases, and prompts with images as the reference's own processor makes them."""

from __future__ import annotations

import json
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
from torch import Tensor

import triptych
from tests.parity.oracle import Named, Oracle, build_oracle, tiny_config
from tests.parity.processors import FAMILIES, Family

GIVEN: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parent / "multimodal.yaml").read_text("utf-8"))
NOT_MEDIA = ("input_ids", "attention_mask", "labels", "num_crops")  # of what a processor gives
SIZES = ((40, 70), (9, 14), (56, 56), (90, 31))  # height, width


class Case(Named):
    """One config of one family that sees."""

    @property
    def means(self) -> Family:
        """Its processor and how prompts for it are written."""
        return FAMILIES[self.family]

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
            *(GIVEN["idle before the norm"] if "vision_feature_layer" in self.config else ()),
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
    parent = tiny_config(f"{FAMILIES[family].of or family}ForConditionalGeneration")
    own = tiny_config(text)
    assert parent is not None
    assert own is not None, f"no tiny/{text}.json"
    own = {key: value for key, value in own.items() if key != "architectures"} | of_text
    parts = {"vision_config": dict(tower), "text_config": own}
    return Case(name, family, parent | parts | FAMILIES[family].config | change)


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
        processor = case.means.processor(oracle.model.config)
        processor.save_pretrained(folder)
        return cls(case, oracle, processor)

    @cached_property
    def model(self) -> Any:
        return triptych.load(self.oracle.folder, dtype=torch.float32)

    @property
    def placeholder(self) -> int:
        return int(self.oracle.model.config.image_token_id)

    @cached_property
    def rule(self) -> Any:
        """What stands for an image in a text, and how many tokens."""
        return triptych.assemble(None, self.oracle.config).tokens["image"]

    def ask(self, *, images: int, seed: int = 0, words: int = 9) -> Asked:
        """A prompt of random words, with images of several sizes between them."""
        generator = np.random.default_rng([self.case.seed, seed])
        pieces = [f"w{n}" for n in generator.integers(20, 200, words)]
        token = getattr(self.processor, "image_token", "")
        text = self.case.means.prompt(pieces, images, generator, token)
        pictures = tuple(picture(generator, size) for size in SIZES[:images])
        found = self.processed(text, pictures)
        media = {key: value for key, value in found.items() if key not in NOT_MEDIA}
        return Asked(text, pictures, tuple(found["input_ids"][0].tolist()), media)

    def processed(self, text: str, images: Sequence[Image.Image]) -> Mapping[str, Tensor]:
        """What the reference's processor makes of a text with images."""
        return self.case.means.call(self.processor, text, list(images))

    def wanted(self, asked: Asked) -> Tensor:
        return self.oracle.logits(asked.ids, **asked.media, **self._of_layers(asked.ids))

    def _of_layers(self, ids: Sequence[int]) -> dict[str, Tensor]:
        """What each layer has of a token beside its row: who gives a language model embeddings is to give that too.

        The whole model of such a language model has it so; items stand where the id 0 would.
        """
        inside = getattr(self.oracle.model.model, "language_model", None)
        if not hasattr(inside, "get_per_layer_inputs"):
            return {}
        ids_T = torch.tensor([ids])
        return {"per_layer_inputs": inside.get_per_layer_inputs(ids_T.masked_fill(ids_T == self.placeholder, 0))}

    def items(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        """What `embed_multimodal` takes, by our own processor; each image alone."""
        found: dict[str, Any] = {}
        for image in images:
            prepared = self.model.processor(self.rule.target, {"image": [image]})
            for key, items in prepared.mm_kwargs.get_data().items():
                found.setdefault(key, []).extend(items)
        return found


def picture(generator: np.random.Generator, size: Sequence[int]) -> Image.Image:
    """Large squares of random colours, which survive being resized."""
    coarse = Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return coarse.resize((size[1], size[0]), Image.Resampling.NEAREST)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
