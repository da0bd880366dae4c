"""Tiny Whispers with the reference's own feature extractor, and waveforms for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import WhisperFeatureExtractor

from tests.parity.oracle import Oracle, build_oracle, tiny_config

RATE = 16_000
SECONDS = 2  # of sound that the tiny config's encoder takes


def whisper(folder: Path, *, seed: int = 0, **change: object) -> Oracle:
    """Built and saved in `folder`, feature extractor and all."""
    config = tiny_config("WhisperForConditionalGeneration")
    assert config is not None
    oracle = build_oracle(config | change, folder, seed=seed)
    extractor = WhisperFeatureExtractor(feature_size=config["num_mel_bins"], chunk_length=SECONDS, sampling_rate=RATE)
    extractor.save_pretrained(folder)
    return oracle


def waveform(seed: int, *, seconds: float = 1.0, rate: int = RATE) -> NDArray[np.float32]:
    """A few tones in noise."""
    generator = np.random.default_rng(seed)
    at = np.arange(int(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * f * at) for f in generator.uniform(100, 3000, 4))
    return (0.1 * tones + 0.01 * generator.standard_normal(len(at))).astype(np.float32)


def frames(oracle: Oracle, sound: NDArray[np.float32]) -> Tensor:
    """What the reference's own extractor makes of a waveform, [1, channels, frames]."""
    extractor = WhisperFeatureExtractor.from_pretrained(oracle.folder)
    found: Tensor = extractor(sound, sampling_rate=RATE, return_tensors="pt")["input_features"]
    return found


@torch.inference_mode()
def greedy(oracle: Oracle, ids: list[int], features: Tensor, count: int) -> list[int]:
    """The likeliest `count` tokens after a prompt, one by one, by the reference."""
    written = list(ids)
    for _ in range(count):
        logits = oracle.model(input_features=features, decoder_input_ids=torch.tensor([written])).logits
        written.append(int(logits[0, -1].argmax()))
    return written[len(ids) :]
