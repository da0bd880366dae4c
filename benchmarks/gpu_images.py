"""How fast images are encoded, and how soon the first token comes after one, beside the least and transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_clock import timed
from benchmarks.gpu_models import LLAVA_7B, Benchmark, Shape, Tops, answers, both, made, peer_of, picture, random_ids
from benchmarks.gpu_text import REPEATS, clocked, per_step

TEXT, FIRST_TOKEN_FLOOR = 32, 0.59
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Encode:
    """Images a second, of `batch` at a time, through tower and projector; transformers' own are compiled."""

    shape: Shape
    batch: int
    floor: float
    beside: float  # how much faster than the peer, at least

    @property
    def name(self) -> str:
        return f"{self.shape.name} encode b{self.batch}"

    def measured(self, tops: Tops, *, peer: bool) -> dict[str, Any]:
        """One row of results."""
        model = made(self.shape)
        least = self.batch * image_flops(model) / tops["bf16 TFLOP/s"] / 1e6
        pixels = _pixels(model, self.batch)
        own = _us(of_triptych(model), pixels)
        share = least / own
        found = {"case": self.name, **self._told(own), "of limit": round(share, 3), "floor": self.floor}
        is_fast = True
        if peer:
            config = model.config
            del model
            compiled = torch.compile(of_transformers(peer_of(config)), mode="max-autotune-no-cudagraphs", dynamic=False)
            other = _us(compiled, pixels)
            is_fast = other / own >= self.beside
            found["transformers, compiled"] = {**self._told(other), "ratio": round(other / own, 3)}
        return found | {"passes": share >= self.floor and is_fast}

    def rehearsed(self) -> dict[str, Any]:
        """The same, tiny: whether rows are those of transformers."""
        with both(self.shape) as (model, peer):
            pixels = _pixels(model, 3).to(model.dtype)
            found, wanted = of_triptych(model)(pixels), of_transformers(peer)(pixels)
            pairs = zip(found, wanted, strict=True)
            agrees = all(torch.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in pairs)
        return {"case": self.name, "passes": agrees}

    def _told(self, us: float) -> dict[str, float]:
        return {"ms": round(us / 1e3, 3), "img/s": round(self.batch / us * 1e6, 1)}


@dataclass(frozen=True)
class FirstToken:
    """From a prompt with one image, which is prepared, to its first token, through the engine."""

    shape: Shape

    @property
    def name(self) -> str:
        return f"{self.shape.name} first token, an image and {TEXT} tokens"

    def measured(self, tops: Tops, *, peer: bool) -> dict[str, Any]:
        """One row of results."""
        model = made(self.shape)
        requests = [_request(model, new=1, seed=n) for n in range(REPEATS)]
        own = median(clocked(partial(_answer, model, each)) for each in requests)
        share = _least(model, self.shape, requests[0], tops) / own
        found = {"case": self.name, **_ms(own), "of limit": round(share, 3), "floor": FIRST_TOKEN_FLOOR}
        prepare = median(clocked(partial(_request, model, new=1, seed=REPEATS + n)) for n in range(REPEATS))
        found["prepare"] = _ms(prepare)
        if peer:
            config = model.config
            del model
            beside = peer_of(config)
            other = median(clocked(partial(_peer_answer, beside, each, 1)) for each in requests)
            found["transformers"] = {**_ms(other), "ratio": round(other / own, 3)}
        return found | {"passes": share >= FIRST_TOKEN_FLOOR}

    def rehearsed(self) -> dict[str, Any]:
        """The same, tiny: whether answers are those of transformers."""
        with both(self.shape) as (model, peer):
            request = _request(model, new=5)
            agrees = _answer(model, request) == _peer_answer(peer, request, 5)
        return {"case": self.name, "passes": agrees}


CASES: list[Benchmark] = [Encode(LLAVA_7B, 16, 0.43, 1.3), FirstToken(LLAVA_7B)]


def image_flops(model: Any) -> float:
    """Operations that one image cannot do without: of its patches with all matrices, and among each other."""
    vision = model.config["vision_config"]
    rows = (vision["image_size"] // vision["patch_size"]) ** 2
    parts = model.module.towers["image"], model.module.projectors["image"]
    named = [each for part in parts for each in part.named_parameters()]
    weights = sum(weight.numel() for name, weight in named if weight.ndim > 1 and "table" not in name)
    layers = len(model.module.towers["image"].layers)
    return float(2 * rows * weights + 4 * rows**2 * vision["hidden_size"] * layers)


def of_triptych(model: Any) -> Callable[[Tensor], list[Tensor]]:
    def encode(pixels: Tensor) -> list[Tensor]:
        with torch.inference_mode():
            return [*model.module.embed_multimodal(image=pixels)]

    return encode


def of_transformers(peer: Any) -> Callable[[Tensor], list[Tensor]]:
    def encode(pixels: Tensor) -> list[Tensor]:
        with torch.inference_mode():
            return [*peer.model.get_image_features(pixel_values=pixels).pooler_output]

    return encode


def _pixels(model: Any, batch: int) -> Tensor:
    size = model.config["vision_config"]["image_size"]
    return torch.randn(batch, 3, size, size, device=model.device, dtype=model.dtype)


def _us(encode: Callable[[Tensor], list[Tensor]], pixels: Tensor) -> float:
    return timed([lambda: encode(pixels)]).us


def _request(model: Any, *, new: int, seed: int = 1) -> Any:
    """A prompt of an image and some text, as the engine takes it."""
    (text,) = random_ids(model, [TEXT], seed=seed)
    ids = [model.config["image_token_index"], *text]
    (found,) = model.requests(ids, picture(model, seed=seed), max_tokens=new, ignore_eos=True)
    return found


def _answer(model: Any, request: Any) -> list[int]:
    return [event.token_id for event in model.run([request], max_batch=1)]


def _peer_answer(peer: Any, request: Any, new: int) -> list[int]:
    prompt = request.prompt
    pixels = prompt.features[0].data["image"].data[None].to(peer.device, peer.dtype)
    (found,) = answers(peer, [prompt.token_ids], new, pixel_values=pixels)
    return found


def _least(model: Any, shape: Shape, request: Any, tops: Tops) -> float:
    """Seconds that the image and the prompt take at the rate of a large product."""
    tokens = len(request.prompt.token_ids)
    _, products = per_step(model, shape, tokens)
    return (image_flops(model) + 2 * products * tokens) / tops["bf16 TFLOP/s"] / 1e12


def _ms(seconds: float) -> dict[str, float]:
    return {"ms": round(seconds * 1e3, 3)}
