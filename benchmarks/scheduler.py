"""The scheduler and its pages alone, without a model: microseconds a step, by how many requests write.

    python benchmarks/scheduler.py [--steps 2000]

Each request has read its prompt; a step asks for the plan and gives each its next token, as the engine does. Told are
the mean, the median and the 99th percentile over all steps: pages are looked at when they are full, all at once here.
Where there are two tables, rows of the second are forgotten once a window of 128 has passed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import mean, median, quantiles
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from triptych.inputs.prompt import Prompt
from triptych.kernels.attention import Reach
from triptych.parts.cache_layout import Group
from triptych.runner.entry import Entry
from triptych.runner.event import Log
from triptych.runner.options import SamplingOptions
from triptych.runner.pages import PagePool
from triptych.runner.request import Request
from triptych.runner.schedule import Scheduler
from triptych.runner.tables import PageTables

PROMPT = 100  # tokens
COUNTS = (1, 16, 64, 256)
CASES = ((16, (None,)), (4096, (None,)), (16, (None, 128)))  # rows a page, and how far back rows are seen


def measure(count: int, *, page: int, windows: Sequence[int | None], steps: int) -> list[float]:
    """Seconds of each step, of which the first ones, that read prompts, are left out."""
    rows = PROMPT + steps
    groups = [Group((), Reach(window), page, width=1) for window in windows]
    pool = PagePool(count * sum(group.pages(rows, new=PROMPT) for group in groups))
    scheduler = Scheduler(PageTables(pool, groups), seqs=count, tokens=8192)
    for number in range(count):
        request = Request(Prompt(tuple(range(number, number + PROMPT))), SamplingOptions(max_tokens=steps, seed=0))
        answer: Any = SimpleNamespace(token_ids=[])
        scheduler.add(Entry.of(number, request, answer, None, Log()))
    found = []
    for _ in range(steps):
        start = perf_counter()
        plan = scheduler.plan()
        drawing = [*plan.writers, *(chunk.entry for chunk in plan.chunks if scheduler.advance(chunk))]
        found.append(perf_counter() - start)
        for entry in drawing:
            entry.tokens.append(len(entry.tokens) % 100)
    return found[steps // 10 :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    args = parser.parse_args()
    print("requests  rows a page  tables   mean us  median us   p99 us")
    for page, windows in CASES:
        for count in COUNTS:
            times = [1e6 * each for each in measure(count, page=page, windows=windows, steps=args.steps)]
            told = f"{mean(times):8.1f}  {median(times):9.1f}  {quantiles(times, n=100)[-1]:7.1f}"
            print(f"{count:8}  {page:11}  {len(windows):6}  {told}")


if __name__ == "__main__":
    main()
