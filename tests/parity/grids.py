"""Models whose items are vectors of patches with a grid: their cases, and prompts with items between words."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

import triptych
from tests.parity.oracle import Named, Oracle, build_oracle, tiny_config
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.items import MultiModalFeatureSpec, MultiModalKwargsItems
from triptych.inputs.placeholders import PlaceholderRange
from triptych.inputs.prompt import Prompt

GIVEN: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parent / "grids.yaml").read_text("utf-8"))
SUB = ("vision_config", "text_config")
Size = tuple[int, ...]
"""Moments, rows and columns of an item; two numbers are an image, three a video."""


def all_cases() -> Iterator[Named]:
    for name, given in GIVEN["cases"].items():
        assert not set(given) - {"tiny", "change", "apart", *SUB}, name
        tiny = tiny_config(given["tiny"])
        assert tiny is not None
        yield Named(
            name,
            given["tiny"],
            tiny | given.get("change", {}) | {key: changed(tiny[key], given.get(key, {})) for key in SUB},
        )


def changed(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A config with changes in it, those of mappings one by one."""
    inner = {k: changed(config[k], v) for k, v in changes.items() if isinstance(v, dict) and config.get(k)}
    return copy.deepcopy({**config, **changes, **inner})


@dataclass(frozen=True)
class Asked:
    """A prompt with its items, and what the reference takes beside its ids."""

    prompt: Prompt
    media: Mapping[str, Tensor]


@dataclass(frozen=True)
class Pair:
    """A reference model, and ours, loaded from the checkpoint that it saved."""

    case: Named
    oracle: Oracle

    @classmethod
    def of(cls, case: Named, folder: Path) -> Pair:
        """Built and saved in `folder`, with an image processor for images of 4 to 20 tokens."""
        oracle = build_oracle(case.config, folder, seed=case.seed)
        patch = case.config["vision_config"]["patch_size"]
        limits = {"shortest_edge": 4 * 4 * patch**2, "longest_edge": 20 * 4 * patch**2}
        Qwen2VLImageProcessorPil(patch_size=patch, size=limits).save_pretrained(folder)
        return cls(case, oracle)

    @cached_property
    def model(self) -> Any:
        return triptych.load(self.oracle.folder, dtype=torch.float32)

    def ask(
        self, *sizes: Size, seed: int = 0, words: int = 3, seconds: Sequence[float] = (), rate: float = 0.0
    ) -> Asked:
        """Random words, an item of each size after some of them; `seconds` between the moments of each video.

        Of the placeholders of a video a share, `rate`, is left out.
        """
        draw = torch.Generator().manual_seed(seed)
        ids, items, paces = self._words(words, draw), list[MultiModalFeatureSpec](), iter(seconds)
        data: dict[str, list[Tensor]] = {"image": [], "video": []}
        for number, size in enumerate(sizes):
            kind, grid = ("video", size) if len(size) == 3 else ("image", (1, *size))
            vectors = torch.randn(int(np.prod(grid)), self._width, generator=draw)
            data[kind].append(torch.tensor(grid))
            pace = next(paces, None) if kind == "video" else None
            found = {kind: vectors, f"{kind}_grid": data[kind][-1], f"{kind}_seconds": pace and torch.tensor(pace)}
            tokens = self._tokens(kind, grid, draw)
            if rate and kind == "video":
                per_moment = len(tokens) // grid[0]
                tokens = tokens[: max(per_moment, int(len(tokens) * (1 - rate)))]
            mask = torch.tensor(tokens) == self.case.config[f"{kind}_token_id"]
            items.append(_feature(kind, found, f"{seed}.{number}", PlaceholderRange(len(ids), len(tokens), mask)))
            ids += tokens + self._words(words + number, draw)
        return Asked(Prompt(tuple(ids), tuple(items)), self._media(ids, items, seconds))

    def wanted(self, asked: Asked) -> Tensor:
        return self.oracle.logits(asked.prompt.token_ids, **asked.media)

    def _tokens(self, kind: str, grid: Sequence[int], draw: torch.Generator) -> list[int]:
        """Placeholders of an item; between the moments of a video a word or two, where these stand apart."""
        own = [self.case.config[f"{kind}_token_id"]] * (grid[1] * grid[2] // 4)
        found = list(own)
        for moment in range(1, grid[0]):
            found += [*(self._words(1 + moment % 2, draw) if GIVEN["cases"][self.case.name].get("apart") else ()), *own]
        return found

    @property
    def _width(self) -> int:
        return int(3 * 2 * self.case.config["vision_config"]["patch_size"] ** 2)

    def _words(self, count: int, draw: torch.Generator) -> list[int]:
        found: list[int] = torch.randint(0, 200, (count,), generator=draw).tolist()
        return found

    def _media(
        self, ids: Sequence[int], items: Sequence[MultiModalFeatureSpec], seconds: Sequence[float]
    ) -> dict[str, Tensor]:
        media: dict[str, Tensor] = {}
        for kind, suffix in (("image", ""), ("video", "_videos")):
            if found := [item.data.get_data() for item in items if item.data and item.modality == kind]:
                media[f"pixel_values{suffix}"] = torch.cat([each[kind] for each in found])  # type: ignore[misc]
                media[f"{kind}_grid_thw"] = torch.stack([each[f"{kind}_grid"] for each in found])  # type: ignore[misc]
        if media:
            tokens = torch.tensor([ids])
            image, video = (self.case.config[f"{kind}_token_id"] for kind in ("image", "video"))
            media["mm_token_type_ids"] = (tokens == image).int() + 2 * (tokens == video).int()
        if seconds:
            media["second_per_grid_ts"] = torch.tensor(seconds)
        return media


def _feature(kind: str, found: Mapping[str, Any], name: str, place: PlaceholderRange) -> MultiModalFeatureSpec:
    data = {key: value[None] for key, value in found.items() if value is not None}
    fields = {key: MultiModalFieldConfig.batched(kind, keep_on_cpu=key != kind) for key in data}
    (item,) = MultiModalKwargsItems.from_hf_inputs(data, fields)[kind]
    return MultiModalFeatureSpec(data=item, modality=kind, identifier=name, mm_position=place)
