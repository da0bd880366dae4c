"""How fast prompts are read, and answers written, beside the least that a GPU needs, and beside transformers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.gpu_models import (
    LLAMA_8B,
    LLAVA_7B,
    QWEN3_30B,
    Shape,
    Tops,
    answers,
    both,
    made,
    peer_of,
    random_ids,
    settle,
)

Ids = Sequence[Sequence[int]]
Generate = Callable[[Ids, int], list[list[int]]]
STEPS, REPEATS = 64, 5


@dataclass(frozen=True)
class Case:
    """`batch` prompts of `tokens` each: how fast they are read, or how fast their answers are written.

    `floor` is the share of the limit that is asked for.
    """

    shape: Shape
    what: str
    batch: int
    tokens: int
    writes: bool
    floor: float

    @property
    def name(self) -> str:
        return f"{self.shape.name} {self.what}"

    def measured(self, tops: Tops, *, peer: bool) -> dict[str, Any]:
        """One row of results."""
        model = made(self.shape)
        least = limit(model, self, tops)
        own = seconds(of_triptych(model, self.batch), self, model)
        share = least / own
        found = {"case": self.name, **self._told(own), "of limit": round(share, 3), "floor": self.floor}
        if peer:
            ids = [random_ids(model, [self.tokens] * self.batch, seed=n) for n in range(REPEATS)]
            config = model.config
            del model
            other = median(_taken(of_transformers(peer_of(config)), self, each) for each in ids)
            found["transformers"] = {**self._told(other), "ratio": round(other / own, 3)}
        return found | {"passes": share >= self.floor}

    def rehearsed(self) -> dict[str, Any]:
        """The same, tiny: whether answers are those of transformers."""
        with both(self.shape) as (model, peer):
            ids = random_ids(model, [16] * min(self.batch, 3))
            new = 5 if self.writes else 1
            agrees = of_triptych(model, self.batch)(ids, new) == of_transformers(peer)(ids, new)
        return {"case": self.name, "passes": agrees}

    def _told(self, taken: float) -> dict[str, float]:
        count = self.batch if self.writes else self.batch * self.tokens
        return {"ms": round(taken * 1e3, 3), "tok/s": round(count / taken, 1)}


CASES = [
    Case(LLAMA_8B, "b1", 1, 1024, True, 0.84),
    Case(LLAMA_8B, "b64", 64, 1024, True, 0.80),
    Case(LLAMA_8B, "b256", 256, 1024, True, 0.75),
    Case(LLAMA_8B, "prefill", 1, 8192, False, 0.78),
    Case(LLAMA_8B, "first token", 1, 512, False, 0.63),
    Case(QWEN3_30B, "b1", 1, 1024, True, 0.60),
    Case(QWEN3_30B, "b64", 64, 1024, True, 0.78),
    Case(QWEN3_30B, "prefill", 1, 8192, False, 0.50),
    Case(LLAVA_7B, "b1", 1, 640, True, 0.82),
    Case(LLAVA_7B, "b64", 64, 640, True, 0.76),
]


def limit(model: Any, case: Case, tops: Tops) -> float:
    """Seconds that no step of decoding, or no prefill, can do without."""
    rows = case.batch if case.writes else case.batch * case.tokens
    weights, products = per_step(model, case.shape, rows)
    kept = sum(n.heads * sum(n.widths) * 2 for n in model.module.cache_needs().values()) * case.batch * case.tokens
    moved = weights + (kept if case.writes else 0)
    return max(moved / tops["copy GB/s"] / 1e9, 2 * products * rows / tops["bf16 TFLOP/s"] / 1e12)


def per_step(model: Any, shape: Shape, rows: int) -> tuple[float, float]:
    """Bytes of weights that a step of the language model reads, and weights that each of its rows is multiplied by.

    Tables are only looked up; of experts as many are read as so many rows hit.
    """
    moved = products = 0.0
    chosen, experts = shape.size("num_experts_per_tok", 1), shape.size("num_experts", 1)
    hit = 1 - (1 - chosen / experts) ** rows
    for name, weight in model.module.named_parameters():
        if "embed" in name or name.startswith(("towers.", "projectors.")):
            continue
        stacked = weight.ndim == 3
        moved += weight.nbytes * (hit if stacked else 1)
        products += weight.numel() * (chosen / experts if stacked else 1)
    return moved, products


def seconds(generate: Generate, case: Case, model: Any) -> float:
    """Of one step of decoding, or of a prefill: the median of several."""
    ids = (random_ids(model, [case.tokens] * case.batch, seed=n) for n in range(REPEATS))
    return median(_taken(generate, case, each) for each in ids)


def _taken(generate: Generate, case: Case, ids: Ids) -> float:
    first = clocked(lambda: generate(ids, 1))
    return (clocked(lambda: generate(ids, 1 + STEPS)) - first) / STEPS if case.writes else first


def clocked(call: Callable[[], object]) -> float:
    """Seconds until all is done that a call asks for."""
    settle()
    start = time.perf_counter()
    call()
    settle()
    return time.perf_counter() - start


def of_triptych(model: Any, batch: int) -> Generate:
    def generate(ids: Ids, new: int) -> list[list[int]]:
        found = model.generate(ids, max_tokens=new, ignore_eos=True, max_batch=batch)
        return [[*each.token_ids] for each in found]

    return generate


def of_transformers(peer: Any) -> Generate:
    """In a cache that grows, as `generate` has it."""
    return lambda ids, new: answers(peer, ids, new)
