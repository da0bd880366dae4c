"""Models that hear: their cases, and prompts with sounds as the reference's own processor makes them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen2AudioProcessor, WhisperFeatureExtractor

import triptych
from tests.parity.hearing import RATE, SECONDS, waveform
from tests.parity.oracle import Oracle, build_oracle, tiny_config
from tests.parity.vocabularies import lines

GIVEN: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parent / "sound.yaml").read_text("utf-8"))
LENGTHS = (0.73, 2.0, 0.031, 1.303)  # seconds
Sound = NDArray[np.float32]
Given = Mapping[str, Tensor]


@dataclass(frozen=True)
class Family:
    """What stands for a sound in its prompts, and what its reference makes of a prompt with sounds."""

    token: str
    processor: Callable[[Any], Any]
    call: Callable[[Any, str, Sequence[Sound]], Given]
    lengths: Sequence[float] = LENGTHS


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
    def means(self) -> Family:
        return FAMILIES[self.family]


def all_cases() -> Iterator[Case]:
    for name, case in GIVEN["cases"].items():
        assert not set(case) - {"family", "text", "change", "of_tower", "of_text"}, name
        tiny = tiny_config(f"{case['family']}ForConditionalGeneration")
        assert tiny is not None
        text = tiny_config(case["text"]) if "text" in case else tiny["text_config"]
        assert text is not None
        own = {key: value for key, value in text.items() if key != "architectures"} | case.get("of_text", {})
        parts = {"audio_config": tiny["audio_config"] | case.get("of_tower", {}), "text_config": own}
        yield Case(name, case["family"], tiny | parts | case.get("change", {}))


@dataclass(frozen=True)
class Asked:
    """A prompt with its sounds as given, and what the reference's processor makes of it."""

    text: str
    sounds: tuple[Sound, ...]
    ids: tuple[int, ...]
    media: Given


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

    @cached_property
    def rule(self) -> Any:
        """What stands for a sound in a text, and how many tokens."""
        return triptych.assemble(None, self.oracle.config).tokens["audio"]

    def ask(self, *, sounds: int, seed: int = 0, words: int = 9) -> Asked:
        """A prompt of random words, with sounds of several lengths between them."""
        draw = np.random.default_rng([self.case.seed, seed])
        pieces = [f"w{n}" for n in draw.integers(30, 200, words)]
        for place in sorted(draw.choice(words + 1, sounds, replace=False), reverse=True):
            pieces.insert(place, self.case.means.token)
        heard = [waveform(seed + n, seconds=s) for n, s in enumerate(self.case.means.lengths[:sounds])]
        return self.asked(" ".join(pieces), heard)

    def asked(self, text: str, sounds: Sequence[Sound]) -> Asked:
        found = dict(self.case.means.call(self.processor, text, sounds))
        ids = tuple(found.pop("input_ids")[0].tolist())
        return Asked(text, tuple(sounds), ids, {k: v for k, v in found.items() if k != "attention_mask"})

    def wanted(self, asked: Asked) -> Tensor:
        return self.oracle.logits(asked.ids, **asked.media)

    def prompt(self, asked: Asked) -> Any:
        """As our own processor makes it."""
        return read(self.model, asked)


def read(model: Any, asked: Asked) -> Any:
    """A prompt as a model's processor makes it."""
    return model.read_items(asked.text, {"audio": list(asked.sounds)} if asked.sounds else {})


def extractor(config: Any) -> WhisperFeatureExtractor:
    bins = config.audio_config.num_mel_bins
    return WhisperFeatureExtractor(feature_size=bins, chunk_length=SECONDS, sampling_rate=RATE)


def _qwen2_audio(config: Any) -> Qwen2AudioProcessor:
    token = config.audio_token_id
    special = {token: "<|AUDIO|>", token + 1: "<|audio_bos|>", token + 2: "<|audio_eos|>"}
    return Qwen2AudioProcessor(extractor(config), lines(config, special, begins=False))


def _plainly(processor: Any, text: str, sounds: Sequence[Sound]) -> Given:
    heard = {"audio": list(sounds), "sampling_rate": RATE} if sounds else {}
    found: Given = processor(text=[text], return_tensors="pt", **heard)
    return found


FAMILIES: dict[str, Family] = {
    "Qwen2Audio": Family("<|audio_bos|> <|AUDIO|> <|audio_eos|>", _qwen2_audio, _plainly),
}
