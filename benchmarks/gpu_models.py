"""The models that are timed on a GPU: random weights at their sizes; or tiny, with those of one of transformers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

import numpy as np
import torch

import triptych
from triptych.spec.catalog import load_named, sample_config

Tops = Mapping[str, float]
LLAMA = {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
}
QWEN_MOE = {
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "max_position_embeddings": 40960,
}
LLAVA = {
    "image_token_index": 32000,
    "vision_config.hidden_size": 1024,
    "vision_config.intermediate_size": 4096,
    "vision_config.num_hidden_layers": 24,
    "vision_config.num_attention_heads": 16,
    "vision_config.image_size": 336,
    "vision_config.patch_size": 14,
    "text_config.vocab_size": 32064,
    "text_config.hidden_size": 4096,
    "text_config.intermediate_size": 11008,
    "text_config.num_hidden_layers": 32,
    "text_config.num_attention_heads": 32,
    "text_config.num_key_value_heads": 32,
    "text_config.max_position_embeddings": 4096,
}


class Benchmark(Protocol):
    """Something that is timed; a row of results tells whether it `passes`."""

    @property
    def name(self) -> str: ...
    def measured(self, tops: Tops, *, peer: bool) -> dict[str, Any]: ...
    def rehearsed(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Shape:
    """A spec at the sizes of a model, each by its path in the config."""

    name: str
    spec: str
    sizes: Mapping[str, int]

    def size(self, key: str, default: int) -> int:
        return self.sizes.get(key, default)


LLAMA_8B = Shape("llama-8b", "llama", LLAMA)
QWEN3_30B = Shape("qwen3-30b-a3b", "qwen3_moe", QWEN_MOE)
LLAVA_7B = Shape("llava-1.5-7b", "llava", LLAVA)


def place() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def settle() -> None:
    """Wait until all is done that the GPU was asked for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def made(shape: Shape) -> Any:
    """Random weights in bfloat16. Answers have no text: what is timed is ids to ids."""
    overrides = [f"sample.{path}={size}" for path, size in shape.sizes.items()]
    model = triptych.random_init(shape.spec, device=place(), dtype=torch.bfloat16, overrides=overrides)
    model.tokenizer = None
    return model


def peer_of(config: Mapping[str, Any], *, dtype: torch.dtype = torch.bfloat16) -> Any:
    """The same sizes in transformers."""
    import transformers

    named = transformers.AutoConfig.for_model(**config)
    takes_images = type(named) in transformers.AutoModelForImageTextToText._model_mapping
    kind: Any = transformers.AutoModelForImageTextToText if takes_images else transformers.AutoModelForCausalLM
    with torch.device(place()):
        model = kind.from_config(named, dtype=dtype).eval()
    model.generation_config.eos_token_id = None  # nothing ends a text
    return model


@contextmanager
def both(shape: Shape) -> Iterator[tuple[Any, Any]]:
    """A tiny model here and in transformers, with the same weights, under which answers tell one thing from another."""
    config = sample_config(load_named(shape.spec)[1])
    peer = peer_of(config, dtype=torch.float32)
    torch.manual_seed(1)
    for weight in peer.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=1.5 * weight.shape[-1] ** -0.5)
    with tempfile.TemporaryDirectory() as folder:
        peer.save_pretrained(folder)
        if "vision_config" in config:
            _save_processor(Path(folder), config["vision_config"]["image_size"])
        yield triptych.load(folder, device=place(), dtype=torch.float32), peer


def _save_processor(folder: Path, size: int) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    square = {"height": size, "width": size}
    CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size=square).save_pretrained(folder)


def random_ids(model: Any, counts: Sequence[int], *, seed: int = 1) -> list[list[int]]:
    """Prompts of so many ids, none of which stands for an image."""
    draw, most = Random(seed), model.config.get("image_token_index", model.module.vocab_size)
    return [[draw.randrange(most) for _ in range(count)] for count in counts]


def picture(model: Any, *, seed: int = 1) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An image of the size that the tower takes."""
    size = model.config["vision_config"]["image_size"]
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def answers(peer: Any, ids: Sequence[Sequence[int]], new: int, **given: Any) -> list[list[int]]:
    """What transformers writes after prompts of one length, greedily, whatever ends a text."""
    prompt = torch.tensor(ids, device=place())
    asked = {"max_new_tokens": new, "do_sample": False, "pad_token_id": 0}
    with torch.inference_mode():
        found = peer.generate(prompt, attention_mask=torch.ones_like(prompt), **asked, **given)
    return [row[prompt.shape[1] :] for row in found.tolist()]
