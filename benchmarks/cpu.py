"""triptych and transformers side by side on SmolLM2-135M: python benchmarks/cpu.py [FOLDER].

Both run in one session, one call of each in turn, each engine and dtype in a process of its own. Greedy, end of text
ignored, random ids; medians over `--repeat`. `output tok/s` counts new tokens over the whole call; `prefill` is a call
that makes one token; `decode` is the rest. Other work on the machine spoils the numbers, ratios too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
ENGINES = ("triptych", "transformers")
PROMPT, NEW = 128, 128


@dataclass(frozen=True)
class Row:
    """One measured number of both engines."""

    dtype: str
    batch: int | None
    what: str
    triptych: float
    transformers: float

    @property
    def ratio(self) -> float:
        return self.triptych / self.transformers


class Worker:
    """A running cpu_worker.py."""

    def __init__(self, engine: str, folder: Path, dtype: str, threads: int) -> None:
        command = [sys.executable, str(HERE / "cpu_worker.py"), engine, str(folder), dtype, str(threads)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ready = self._reply()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def run(self, ids: list[list[int]], new: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(json.dumps({"ids": ids, "new": new}), file=self.process.stdin, flush=True)
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args[1:3]))} ended early")  # type: ignore[index]
        reply: dict[str, Any] = json.loads(line)
        return reply


def measure(folder: Path, dtype: str, batches: list[int], *, repeat: int, threads: int) -> Iterator[Row]:
    """The rows of one dtype, as they come."""
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name, folder, dtype, threads)) for name in ENGINES}
        for what, key in (("import s", "import_s"), ("load s", "load_s"), ("peak MB, loaded", "peak_mb")):
            yield Row(dtype, None, what, *(workers[name].ready[key] for name in ENGINES))
        for batch in batches:
            yield from measure_batch(workers, folder, dtype, batch, repeat=repeat)


def measure_batch(workers: dict[str, Worker], folder: Path, dtype: str, batch: int, *, repeat: int) -> Iterator[Row]:
    ids = random_ids(folder, batch)
    for name in ENGINES:
        workers[name].run(ids, 4)  # the first call makes what is made once
    replies: dict[str, list[dict[str, Any]]] = {name: [] for name in ENGINES}
    for _ in range(repeat):
        for name in ENGINES:
            replies[name].append(workers[name].run(ids, NEW))
    numbers = [summary(replies[name], batch) for name in ENGINES]
    for what in numbers[0]:
        yield Row(dtype, batch, what, *(number[what] for number in numbers))
    yield Row(dtype, batch, "peak MB", *(replies[name][-1]["peak_mb"] for name in ENGINES))
    same = sum(a == b for a, b in zip(*(replies[name][-1]["tokens"] for name in ENGINES), strict=True))
    print(f"{dtype}, batch {batch}: {same} of {batch} answers have the same {NEW} tokens", file=sys.stderr)


def summary(replies: list[dict[str, Any]], batch: int) -> dict[str, float]:
    """Tokens per second, from the medians of the seconds."""
    first, total = (median(reply[key] for reply in replies) for key in ("first_s", "all_s"))
    return {
        "output tok/s": batch * NEW / total,
        "decode tok/s": batch * (NEW - 1) / (total - first),
        "prefill tok/s": batch * PROMPT / first,
    }


def random_ids(folder: Path, batch: int) -> list[list[int]]:
    """The same prompts in every run: ids drawn from the whole vocabulary."""
    vocab = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    source = random.Random(batch)
    return [[source.randrange(vocab) for _ in range(PROMPT)] for _ in range(batch)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("smollm2"), help="made when it is missing")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--dtype", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of the table")
    options = parser.parse_args()
    subprocess.run([sys.executable, str(HERE.parent / "tools" / "smollm2.py"), str(options.folder)], check=True)
    report(options)


def report(options: argparse.Namespace) -> None:
    method = (
        f"{PROMPT} in, {NEW} out, greedy, {options.threads} threads ({instructions()}), medians of {options.repeat}"
    )
    rows = []
    if not options.json:
        print(f"{options.folder.name}: {method}")
        print(f"{'dtype':9} {'batch':>5} {'':16} {'triptych':>10} {'transformers':>13} {'ratio':>6}")
    for dtype in options.dtype:
        for row in measure(options.folder, dtype, options.batch, repeat=options.repeat, threads=options.threads):
            rows.append({**asdict(row), "ratio": row.ratio})
            if not options.json:
                print(line(row), flush=True)
    if options.json:
        print(json.dumps({"method": method, "rows": rows}, indent=2))


def instructions() -> str:
    """What torch uses of this processor; below AVX512 it multiplies no bfloat16, and both engines are slow at it."""
    code = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def line(row: Row) -> str:
    batch = "" if row.batch is None else row.batch
    return f"{row.dtype:9} {batch:>5} {row.what:16} {row.triptych:>10.1f} {row.transformers:>13.1f} {row.ratio:>6.2f}"


if __name__ == "__main__":
    main()
