"""Seconds from the start of a process to an engine that has answered, with random weights on the GPU."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_models import LLAMA_8B, Benchmark, Shape, Tops

ROOT = Path(__file__).resolve().parent.parent
MOST, STARTS = 10.0, 3  # seconds; the first of the starts may compile kernels, and does not count


@dataclass(frozen=True)
class Ready:
    shape: Shape

    @property
    def name(self) -> str:
        return f"{self.shape.name} ready"

    def measured(self, tops: Tops, *, peer: bool) -> dict[str, Any]:  # noqa: ARG002  (it is told in seconds, alone)
        """One row of results."""
        first, *others = (_started(self.shape) for _ in range(STARTS))
        taken = min(others)
        found = {"s": round(taken, 2), "first start s": round(first, 2), "floor": MOST}
        return {"case": self.name, **found, "passes": taken <= MOST}

    def rehearsed(self) -> dict[str, Any]:
        """The same at the sizes of the spec's sample: it answers."""
        return {"case": self.name, "passes": _started(Shape(self.shape.name, self.shape.spec, {})) > 0}


CASES: list[Benchmark] = [Ready(LLAMA_8B)]


def _started(shape: Shape) -> float:
    """Seconds of a whole process, from outside, which ends with the first token."""
    start = time.perf_counter()
    given = [sys.executable, "-m", "benchmarks.gpu_ready", shape.spec, *(f"{k}={v}" for k, v in shape.sizes.items())]
    subprocess.run(given, cwd=ROOT, check=True)
    return time.perf_counter() - start


def main() -> None:
    import triptych
    from benchmarks.gpu_models import made

    spec, *sizes = sys.argv[1:]
    given = (each.split("=") for each in sizes)
    model = made(Shape(spec, spec, {name: int(size) for name, size in given}))
    engine = triptych.Engine(model, max_model_len=512)
    assert len(engine.submit([1, 2, 3], max_tokens=1).result().token_ids) == 1


if __name__ == "__main__":
    main()
