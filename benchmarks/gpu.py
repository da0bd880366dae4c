"""Whole models on a GPU beside what it can do, and beside transformers: python -m benchmarks.gpu [--case NAME].

Random weights in bfloat16, greedy, on random ids, the end of text ignored. A step of decoding cannot take less than the
weights that it reads and the rows of the cache at the rate of a copy; a prefill not less than its products at the rate
of a large one. Both rates are measured first, in the same process. `--rehearse` runs the cases at the sizes of the
specs' samples, wherever that is, and tells no times.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import torch

import triptych
from benchmarks.gpu_clock import ceilings, device

Ids = Sequence[Sequence[int]]
Generate = Callable[[Ids, int], object]
STEPS, REPEATS = 64, 5
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


@dataclass(frozen=True)
class Case:
    """`batch` prompts of `tokens` each: how fast they are read, and how fast their answers are written.

    `floor` is the share of the limit that is asked for.
    """

    name: str
    spec: str
    sizes: Mapping[str, int]
    batch: int
    tokens: int
    writes: bool
    floor: float


CASES = [
    Case("llama-8b b1", "llama", LLAMA, 1, 1024, True, 0.84),
    Case("llama-8b b64", "llama", LLAMA, 64, 1024, True, 0.80),
    Case("llama-8b b256", "llama", LLAMA, 256, 1024, True, 0.75),
    Case("llama-8b prefill", "llama", LLAMA, 1, 8192, False, 0.78),
    Case("qwen3-30b-a3b b1", "qwen3_moe", QWEN_MOE, 1, 1024, True, 0.60),
    Case("qwen3-30b-a3b b64", "qwen3_moe", QWEN_MOE, 64, 1024, True, 0.78),
    Case("qwen3-30b-a3b prefill", "qwen3_moe", QWEN_MOE, 1, 8192, False, 0.50),
]


def limit(model: Any, case: Case, tops: Mapping[str, float]) -> float:
    """Seconds that no step of decoding, or no prefill, can do without."""
    weights, products = _per_step(model, case)
    rows = case.batch if case.writes else case.batch * case.tokens
    kept = sum(n.heads * sum(n.widths) * 2 for n in model.module.cache_needs().values()) * case.batch * case.tokens
    moved = weights + (kept if case.writes else 0)
    return max(moved / tops["copy GB/s"] / 1e9, 2 * products * rows / tops["bf16 TFLOP/s"] / 1e12)


def _per_step(model: Any, case: Case) -> tuple[float, float]:
    """Bytes of weights that a step reads, and weights that a row is multiplied by; tables are only looked up."""
    moved = products = 0.0
    chosen, experts = case.sizes.get("num_experts_per_tok", 1), case.sizes.get("num_experts", 1)
    rows = case.batch if case.writes else case.batch * case.tokens
    hit = 1 - (1 - chosen / experts) ** rows
    for name, weight in model.module.named_parameters():
        if "embed" in name:
            continue
        stacked = weight.ndim == 3
        moved += weight.nbytes * (hit if stacked else 1)
        products += weight.numel() * (chosen / experts if stacked else 1)
    return moved, products


def seconds(generate: Generate, case: Case, *, steps: int, vocab: int, repeats: int) -> float:
    """Of one step of decoding, or of a prefill: the median of several."""
    draw = Random(1)
    found = []
    for _ in range(repeats):
        ids = [[draw.randrange(vocab) for _ in range(case.tokens)] for _ in range(case.batch)]
        first = _clocked(generate, ids, 1)
        found.append((_clocked(generate, ids, 1 + steps) - first) / steps if case.writes else first)
    return median(found)


def _clocked(generate: Generate, ids: Ids, new: int) -> float:
    start = time.perf_counter()
    generate(ids, new)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def of_triptych(model: Any, batch: int) -> Generate:
    return lambda ids, new: model.generate(ids, max_tokens=new, ignore_eos=True, max_batch=batch)


def of_transformers(config: Mapping[str, Any], place: str) -> Generate:
    """The same sizes, in a cache that grows, as `generate` has it."""
    import transformers

    named = transformers.AutoConfig.for_model(**config)
    with torch.device(place):
        model = transformers.AutoModelForCausalLM.from_config(named, dtype=torch.bfloat16).eval()  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def generate(ids: Ids, new: int) -> object:
        prompt = torch.tensor(ids, device=place)
        asked = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False, "pad_token_id": 0}
        return model.generate(prompt, attention_mask=torch.ones_like(prompt), **asked)

    return generate


def measured(case: Case, tops: Mapping[str, float], *, small: bool, peer: bool) -> dict[str, Any]:
    """One row of results."""
    place = "cuda" if torch.cuda.is_available() else "cpu"
    overrides = [] if small else [f"sample.{name}={size}" for name, size in case.sizes.items()]
    if small:
        case = Case(case.name, case.spec, {}, min(case.batch, 2), 16, case.writes, 0.0)
    steps, repeats = (2, 1) if small else (STEPS, REPEATS)
    model = triptych.random_init(case.spec, device=place, dtype=torch.bfloat16, overrides=overrides)
    asked = {"steps": steps, "repeats": repeats, "vocab": model.config["vocab_size"]}
    own = seconds(of_triptych(model, case.batch), case, **asked)
    count = case.batch if case.writes else case.batch * case.tokens
    found: dict[str, Any] = {"case": case.name} | ({} if small else _told(own, count))
    if tops:
        found |= {"of limit": round(limit(model, case, tops) / own, 3), "floor": case.floor}
    if peer:
        config = model.config
        del model
        other = seconds(of_transformers(config, place), case, **asked)
        found["transformers"] = "ran" if small else {**_told(other, count), "ratio": round(other / own, 3)}
    return found


def _told(taken: float, count: int) -> dict[str, float]:
    return {"ms": round(taken * 1e3, 3), "tok/s": round(count / taken, 1)}


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="repeatable")
    parser.add_argument("--no-peer", action="store_true", help="triptych alone")
    parser.add_argument("--json", metavar="OUT", help="write the results there, too")
    parser.add_argument("--rehearse", action="store_true", help="at the sizes of samples, wherever that is")
    args = parser.parse_args(words)
    if not args.rehearse and not torch.cuda.is_available():
        print("there is no GPU: nothing is timed (--rehearse tries what would be)", file=sys.stderr)
        return 1
    tops = {} if args.rehearse else ceilings()
    about = {} if args.rehearse else {**device(), "ceilings": tops}
    results = []
    for case in CASES:
        if not args.case or case.name in args.case:
            results.append(measured(case, tops, small=args.rehearse, peer=not args.no_peer))
            print(json.dumps(results[-1]), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps({**about, "cases": results}, indent=1), encoding="utf-8")
    return int(any(each.get("of limit", 1) < each.get("floor", 0) for each in results))


if __name__ == "__main__":
    sys.exit(main())
