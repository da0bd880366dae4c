"""Many requests of all lengths at once: how much is written in a second, and how long the GPU has nothing to do.

The same after one long beginning that all prompts share, beside prompts as long that share nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

import triptych
from benchmarks.gpu_models import LLAMA_8B, Benchmark, Shape, Tops, answers, both, made, random_ids, settle
from benchmarks.gpu_text import clocked

Ids = Sequence[Sequence[int]]
IDLE, RATIO = 0.03, 2.5  # the most that the GPU may wait, of a trace; how much faster a shared beginning makes it
SKIP, WINDOW = 100, 50  # steps before those in which it is looked at what the GPU does, and how many these are


@dataclass(frozen=True)
class Load:
    """`requests` that come at once, whose prompts and answers have `low` to `high` tokens, after `shared` ones of all.

    So many as `seqs` run at a time.
    """

    requests: int = 256
    seqs: int = 256
    low: int = 100
    high: int = 1024
    shared: int = 0
    skip: int = SKIP
    window: int = WINDOW

    @property
    def longest(self) -> int:
        return self.shared + 2 * self.high

    def drawn(self, model: Any, *, alike: bool = True) -> tuple[list[list[int]], list[int]]:
        """Prompts, and how many tokens are asked for after each; not `alike`, each has a beginning of its own."""
        draw = Random(1)
        counts, new = ([draw.randint(self.low, self.high) for _ in range(self.requests)] for _ in "pn")
        begins = random_ids(model, [self.shared] * self.requests, seed=2)
        prompts = random_ids(model, counts, seed=3)
        return [(begins[0] if alike else own) + prompt for own, prompt in zip(begins, prompts, strict=True)], new


SERVING, SHARED = Load(), Load(shared=2048)
TINY = Load(requests=6, low=3, high=24, skip=4, window=8)
TINY_SHARED = Load(requests=6, seqs=2, low=3, high=24, shared=40)


class Run:
    """An engine with all requests of a trace, which wait; and how many tokens of prompts it has read."""

    def __init__(self, model: Any, prompts: Ids, new: Sequence[int], load: Load, *, overlap: bool) -> None:
        self._engine = triptych.Engine(model, overlap=overlap, max_num_seqs=load.seqs, max_model_len=load.longest)
        self.read = 0
        scheduler: Any = self._engine._runner._state.scheduler  # a module's hook sees no step that is replayed
        self._advance, scheduler.advance = scheduler.advance, self._count
        pairs = zip(prompts, new, strict=True)
        self._asked = [self._engine.submit([*ids], max_tokens=count, ignore_eos=True) for ids, count in pairs]

    def _count(self, chunk: Any) -> Any:
        self.read += chunk.count
        return self._advance(chunk)

    def finish(self) -> list[list[int]]:
        """All answers."""
        self._engine.run()
        return [[*each.result().token_ids] for each in self._asked]

    def idle(self, load: Load) -> float:
        """The share of the time in which nothing ran on the device, of some steps in the middle."""
        on_gpu = torch.cuda.is_available()
        for _ in range(load.skip):
            self._engine.step()
        settle()
        with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as seen:
            for _ in range(load.window):
                self._engine.step()
            settle()
        kind = "CUDA" if on_gpu else "CPU"
        ran = [each.time_range for each in seen.events() if each.device_type.name == kind]
        return idle_share((each.start, each.end) for each in ran)


def idle_share(spans: Iterable[tuple[float, float]]) -> float:
    """Of the time from the first beginning to the last end, how much lies in none of the spans."""
    begin = end = None
    idle = 0.0
    for start, stop in sorted(spans):
        if end is None:
            begin = start
        elif start > end:
            idle += start - end
        end = stop if end is None else max(end, stop)
    return idle / (end - begin) if begin is not None and end is not None and end > begin else 0.0


@dataclass(frozen=True)
class Serving:
    """With steps that overlap, and without."""

    shape: Shape

    @property
    def name(self) -> str:
        return f"{self.shape.name} serving"

    def measured(self, tops: Tops, *, peer: bool) -> dict[str, Any]:  # noqa: ARG002  (nothing limits it, none beside)
        """One row of results."""
        found = _both_ways(made(self.shape), SERVING)
        return {"case": self.name, **found, "floor": IDLE, "passes": found["overlap"]["GPU idle"] <= IDLE}

    def rehearsed(self) -> dict[str, Any]:
        """The same, tiny: whether answers are those of transformers, whose requests are answered one by one."""
        with both(self.shape) as (model, peer):
            prompts, new = TINY.drawn(model)
            wanted = _one_by_one(peer, prompts, new)
            runs = [Run(model, prompts, new, TINY, overlap=overlap) for overlap in (True, False)]
            idle = [run.idle(TINY) for run in runs]
            agrees = all(run.finish() == wanted for run in runs)
        return {"case": self.name, "passes": agrees and all(0 <= each < 1 for each in idle)}


@dataclass(frozen=True)
class Shared:
    """After a shared beginning, which is read once, and after as many tokens that are each request's own."""

    shape: Shape

    @property
    def name(self) -> str:
        return f"{self.shape.name} serving, shared {SHARED.shared}"

    def measured(self, tops: Tops, *, peer: bool) -> dict[str, Any]:  # noqa: ARG002
        """One row of results."""
        model = made(self.shape)
        (own, hits), (other, _) = (_rate(model, SHARED, alike=alike, overlap=True) for alike in (True, False))
        ratio = own / other
        found = {"tok/s": round(own, 1), "hit rate": round(hits, 3), "each its own": round(other, 1)}
        return {"case": self.name, **found, "ratio": round(ratio, 3), "floor": RATIO, "passes": ratio >= RATIO}

    def rehearsed(self) -> dict[str, Any]:
        """The same, tiny: whether answers are those of transformers, and what is shared is read less often."""
        with both(self.shape) as (model, peer):
            agrees, hits = True, []
            for alike in (True, False):
                prompts, new = TINY_SHARED.drawn(model, alike=alike)
                run = Run(model, prompts, new, TINY_SHARED, overlap=True)
                agrees &= run.finish() == _one_by_one(peer, prompts, new)
                hits.append(hit_rate(run.read, prompts))
        return {"case": self.name, "passes": agrees and hits[0] > hits[1] == 0}


CASES: list[Benchmark] = [Serving(LLAMA_8B), Shared(LLAMA_8B)]


def hit_rate(read: int, prompts: Ids) -> float:
    """The share of the tokens of prompts that was there already."""
    return 1 - read / sum(map(len, prompts))


def _both_ways(model: Any, load: Load) -> dict[str, Any]:
    found = {}
    for name, overlap in (("overlap", True), ("no overlap", False)):
        rate, _ = _rate(model, load, alike=True, overlap=overlap)
        run = Run(model, *load.drawn(model), load, overlap=overlap)
        idle = run.idle(load)
        run.finish()
        found[name] = {"tok/s": round(rate, 1), "GPU idle": round(idle, 3)}
    return found


def _rate(model: Any, load: Load, *, alike: bool, overlap: bool) -> tuple[float, float]:
    """Tokens written in a second, and the share of those of prompts that were there already."""
    prompts, new = load.drawn(model, alike=alike)
    run = Run(model, prompts, new, load, overlap=overlap)
    taken = clocked(run.finish)
    return sum(new) / taken, hit_rate(run.read, prompts)


def _one_by_one(peer: Any, prompts: Ids, new: Sequence[int]) -> list[list[int]]:
    return [answers(peer, [ids], count)[0] for ids, count in zip(prompts, new, strict=True)]
