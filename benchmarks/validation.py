"""What it costs to validate inputs: python benchmarks/validation.py.

Medians in microseconds of ten tensor fields that fit, dims shared among them: a triptych schema, and a dataclass whose
annotations jaxtyping and beartype check (pip install jaxtyping beartype).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from importlib import import_module
from statistics import median
from typing import Annotated

import torch
from torch import Tensor

from triptych.schemas import TensorSchema, TensorShape

FIELDS = 10


def microseconds(calls: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    """Median of `repeat` calls each, made by turns, after some that are not counted."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeat + repeat // 10):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn >= repeat // 10:
                taken[name].append((time.perf_counter() - start) * 1e6)
    return {name: round(median(times), 2) for name, times in taken.items()}


def triptych_call(values: dict[str, Tensor]) -> Callable[[], object]:
    annotation = Annotated[Tensor, TensorShape("b", 3, "h", "w", dtype="float32")]
    schema = type("Inputs", (TensorSchema,), {"__annotations__": dict.fromkeys(values, annotation)})
    return lambda: schema(**values)


def jaxtyping_call(values: dict[str, Tensor]) -> Callable[[], object]:
    jaxtyping, beartype = import_module("jaxtyping"), import_module("beartype")
    annotation = jaxtyping.Float32[Tensor, "b 3 h w"]
    plain = dataclasses.make_dataclass("Inputs", [(name, annotation) for name in values])
    checked: Callable[..., object] = jaxtyping.jaxtyped(plain, typechecker=beartype.beartype)
    return lambda: checked(**values)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    values = {f"x{place}": torch.zeros(2, 3, 4, 5) for place in range(FIELDS)}
    calls = {"triptych": triptych_call(values)}
    try:
        calls["jaxtyping + beartype"] = jaxtyping_call(values)
    except ImportError as error:
        raise SystemExit(f"{error}; pip install jaxtyping beartype") from None
    found = microseconds(calls, options.repeat)
    found["ratio"] = round(found["jaxtyping + beartype"] / found["triptych"], 2)
    print(json.dumps(found, indent=2) if options.json else "\n".join(f"{k:32} {v:8.2f}" for k, v in found.items()))


if __name__ == "__main__":
    main()
