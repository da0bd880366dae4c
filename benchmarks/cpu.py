"""triptych beside transformers, and beside peers, on SmolLM2-135M: python benchmarks/cpu.py [FOLDER].

All run in one session, one call of each in turn, each engine and dtype in processes of its own. Greedy, end of text
ignored, random ids; medians over `--repeat`. `ready s` is from the start of a process to its first answer, the median
of `--starts`; `output tok/s` counts new tokens over the whole call; `prefill` is a call that makes one token; `decode`
is the rest. Other work on the machine spoils the numbers, ratios too. docs/benchmarks.md tells more.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from cpu_process import HERE, PEERS, Worker, python_of

PROMPT, NEW = 128, 128
Replies = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Row:
    """One measured number of each engine, by name."""

    dtype: str
    batch: int | None
    what: str
    numbers: Mapping[str, float]

    @property
    def ratios(self) -> dict[str, float]:
        """triptych's beside each of the others."""
        return {name: self.numbers["triptych"] / number for name, number in self.numbers.items() if name != "triptych"}


@dataclass(frozen=True)
class Bench:
    """What is measured: a model in each engine, by the Python that has it."""

    folder: Path
    pythons: Mapping[str, Path]
    repeat: int
    starts: int
    threads: int

    def rows(self, dtype: str, batches: Sequence[int]) -> Iterator[Row]:
        """The rows of one dtype, as they come."""
        with ExitStack() as stack:
            started: dict[str, list[Worker]] = {name: [] for name in self.pythons}
            for number in range(self.starts):
                for name, workers in started.items():
                    workers.append(self._start(name, dtype, stack if number == self.starts - 1 else None))
            ready = {name: median(worker.ready["s"] for worker in workers) for name, workers in started.items()}
            yield Row(dtype, None, "ready s", ready)
            running = {name: workers[-1] for name, workers in started.items()}
            yield Row(dtype, None, "peak MB, ready", {name: each.ready["peak_mb"] for name, each in running.items()})
            for batch in batches:
                yield from self._rows(running, dtype, batch)

    def _start(self, engine: str, dtype: str, stack: ExitStack | None) -> Worker:
        """An engine that runs on until the stack ends it; without one it ends at once."""
        worker = Worker(engine, self.folder, dtype, threads=self.threads, python=self.pythons[engine])
        if stack is None:
            with worker:
                return worker
        return stack.enter_context(worker)

    def _rows(self, workers: Mapping[str, Worker], dtype: str, batch: int) -> Iterator[Row]:
        ids = random_ids(self.folder, batch)
        for worker in workers.values():
            worker.run(ids, 4)  # the first call makes what is made once
        replies: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
        for _ in range(self.repeat):
            for name, worker in workers.items():
                replies[name].append(worker.run(ids, NEW))
        numbers = {name: summary(found, batch) for name, found in replies.items()}
        for what in numbers["triptych"]:
            yield Row(dtype, batch, what, {name: each[what] for name, each in numbers.items()})
        yield Row(
            dtype, batch, "beside MB", {"triptych": beside(workers["triptych"].ready, replies["triptych"], batch)}
        )
        compare(replies, dtype, batch)


def summary(replies: Sequence[Mapping[str, Any]], batch: int) -> dict[str, float]:
    """Tokens per second, from the medians of the seconds; and the peak of memory."""
    first, total = (median(reply[key] for reply in replies) for key in ("first_s", "all_s"))
    return {
        "output tok/s": batch * NEW / total,
        "decode tok/s": batch * (NEW - 1) / (total - first),
        "prefill tok/s": batch * PROMPT / first,
        "peak MB": replies[-1]["peak_mb"],
    }


def beside(held: Mapping[str, float], replies: Sequence[Mapping[str, Any]], batch: int) -> float:
    """The MB of the peak that are neither weights nor the rows of the cache that the tokens need."""
    cache = batch * (PROMPT + NEW - 1) * held["row_bytes"] / 1e6
    return float(replies[-1]["peak_mb"] - held["weights_mb"] - cache)


def compare(replies: Replies, dtype: str, batch: int) -> None:
    """Tell how many answers are those of triptych."""
    own = replies["triptych"][-1]["tokens"]
    for name, found in replies.items():
        if name != "triptych":
            same = sum(a == b for a, b in zip(own, found[-1]["tokens"], strict=True))
            told = f"{same} of {batch} answers have the same {NEW} tokens as those of {name}"
            print(f"{dtype}, batch {batch}: {told}", file=sys.stderr)


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
    parser.add_argument("--starts", type=int, default=3, help="of each engine, for the seconds until it is ready")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", nargs="+", choices=PEERS, default=[], help="beside transformers")
    parser.add_argument("--peer-python", type=Path, metavar="PATH", help="the Python that has the peer")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of the table")
    options = parser.parse_args()
    pythons = {name: python_of(name, options.peer_python) for name in ("triptych", "transformers", *options.peer)}
    subprocess.run([sys.executable, str(HERE.parent / "tools" / "smollm2.py"), str(options.folder)], check=True)
    bench = Bench(options.folder, pythons, options.repeat, options.starts, options.threads)
    report(bench, options.dtype, options.batch, as_json=options.json)


def report(bench: Bench, dtypes: Sequence[str], batches: Sequence[int], *, as_json: bool) -> None:
    method = f"{PROMPT} in, {NEW} out, greedy, {bench.threads} threads ({instructions()}), medians of {bench.repeat}"
    rows = []
    if not as_json:
        print(f"{bench.folder.name}: {method}; after each other engine's number, triptych's beside it")
        others = "".join(f"{name:>22}" for name in bench.pythons if name != "triptych")
        print(f"{'dtype':9} {'batch':>5} {'':14} {'triptych':>10}{others}")
    for dtype in dtypes:
        for row in bench.rows(dtype, batches):
            rows.append({**asdict(row), "ratios": row.ratios})
            if not as_json:
                print(line(row), flush=True)
    if as_json:
        print(json.dumps({"method": method, "rows": rows}, indent=2))


def instructions() -> str:
    """What torch uses of this processor; below AVX512 it multiplies no bfloat16, and all engines are slow at it."""
    code = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def line(row: Row) -> str:
    batch = "" if row.batch is None else row.batch
    others = "".join(f"{row.numbers[name]:>14.1f} ({ratio:.2f})" for name, ratio in row.ratios.items())
    return f"{row.dtype:9} {batch:>5} {row.what:14} {row.numbers['triptych']:>10.1f}{others}"


if __name__ == "__main__":
    main()
