"""Models that hear: their cases, and prompts with sounds as the reference's own processor makes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import save_model
from torch import Tensor
from transformers import Qwen2AudioProcessor, VoxtralProcessor, WhisperFeatureExtractor

import triptych
from tests.parity.hearing import RATE, SECONDS, waveform
from tests.parity.oracle import Named, Oracle, build_oracle, redraw, tiny_config
from tests.parity.vocabularies import lines
from tests.reference.ultravox import Ultravox

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
    oracle: Callable[..., Oracle] = build_oracle


class Case(Named):
    """One config of one family that hears."""

    @property
    def means(self) -> Family:
        return FAMILIES[self.family]


def all_cases() -> Iterator[Case]:
    for name, case in GIVEN["cases"].items():
        assert not set(case) - {"family", "text", "change", "of_tower", "of_text"}, name
        tiny = ULTRAVOX if case["family"] == "Ultravox" else tiny_config(f"{case['family']}ForConditionalGeneration")
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
        oracle = case.means.oracle(case.config, folder, seed=case.seed)
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


class Apart:
    """A feature extractor and a tokenizer, of which no processor of the reference's can be made here.

    A clip has `frames`; `stacked` rows, of two frames each, are one placeholder.
    """

    def __init__(self, config: Any, tokens: Mapping[int, str], *, stacked: int) -> None:
        self.extractor, self.tokenizer = extractor(config), lines(config, tokens, begins=False)
        self.frames, self.stacked = 2 * config.audio_config.max_source_positions, stacked

    def save_pretrained(self, folder: Path) -> None:
        self.extractor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def _voxtral(config: Any) -> Apart:
    token = config.audio_token_id
    stacked = config.audio_config.intermediate_size // config.audio_config.hidden_size
    names = ("[AUDIO]", "[BEGIN_AUDIO]", "<s>", "[INST]", "[/INST]", "[TRANSCRIBE]", "lang:de")
    special = {token + n: name for n, name in enumerate(names)}
    return Apart(config, special, stacked=stacked)


def _by_clips(processor: Apart, text: str, sounds: Sequence[Sound]) -> Given:
    """The reference's own way to features; what counts placeholders is in a package that is not here."""
    clip = SECONDS * RATE
    asked = {"sampling_rate": RATE, "padding": True, "truncation": False, "pad_to_multiple_of": clip}
    counts = [-(-len(sound) // clip) * processor.frames // 2 // processor.stacked for sound in sounds]
    pieces = zip_longest(text.split("[AUDIO]"), counts, fillvalue=0)
    text = "".join(piece + "[AUDIO]" * count for piece, count in pieces)
    found = {"input_ids": torch.tensor([processor.tokenizer(text)["input_ids"]])}
    if sounds:
        own = SimpleNamespace(feature_extractor=processor.extractor)
        found["input_features"] = VoxtralProcessor._retrieve_input_features(
            own, sounds, processor.frames, return_tensors="pt", **asked
        )
    return found


ULTRAVOX = {
    "architectures": ["UltravoxModel"],
    "model_type": "ultravox",
    "hidden_size": 96,
    "stack_factor": 8,
    "projector_act": "swiglu",
    "projector_ln_mid": False,
    "audio_token_index": 32000,
    "text_model_id": "somebody/their-model",
    "audio_config": {
        "model_type": "whisper",
        "d_model": 32,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "max_source_positions": 100,
        "num_mel_bins": 16,
    },
    "text_config": tiny_config("LlamaForCausalLM"),
}


def _ultravox_oracle(config: Mapping[str, Any], folder: Path, *, seed: int) -> Oracle:
    """Its weights drawn, and saved under the released names."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Ultravox(json.loads(json.dumps(config)), placeholder=config["text_config"]["vocab_size"]).eval()
    redraw(model, torch.Generator().manual_seed(seed))
    save_model(model, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return Oracle(model, folder, dict(config))


def _ultravox(config: Any) -> Apart:
    return Apart(config, {}, stacked=config.stacked)


def _as_long_as_they_are(processor: Apart, text: str, sounds: Sequence[Sound]) -> Given:
    """Features of the true length, and after each piece of text as many ids past the vocabulary as these give rows."""
    asked = {"sampling_rate": RATE, "padding": "longest", "truncation": False, "pad_to_multiple_of": 160}
    heard = [processor.extractor(s, return_tensors="pt", **asked)["input_features"][0] for s in sounds]
    ids = []
    for piece, frames in zip_longest(text.split("<|audio|>"), heard):
        clips = frames.split(processor.frames, -1) if frames is not None else ()
        places = sum(-(-clip.shape[1] // 2 // processor.stacked) for clip in clips)
        ids += [*processor.tokenizer(piece)["input_ids"], *[256] * places]
    return {"input_ids": torch.tensor([ids]), **{f"sound_{n}": each for n, each in enumerate(heard)}}


FAMILIES: dict[str, Family] = {
    "Qwen2Audio": Family("<|audio_bos|> <|AUDIO|> <|audio_eos|>", _qwen2_audio, _plainly),
    "Voxtral": Family("[BEGIN_AUDIO][AUDIO]", _voxtral, _by_clips, (0.73, 2.0, 4.1, 1.3)),
    "Ultravox": Family("<|audio|>", _ultravox, _as_long_as_they_are, (0.737, 2.0, 4.13, 1.3), _ultravox_oracle),
}
