"""The task `bench`: how long a model takes to answer all prompts together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from triptych.experiments.data import read_items, told_with_places
from triptych.experiments.model import load_model
from triptych.experiments.read import Ready
from triptych.experiments.whole import Row, number
from triptych.tasks import Completion


def asked(ready: Ready) -> list[Row]:
    """The number of each row, and of the prompts. Raises InputError for data that cannot be read."""
    prompts = len(read_items(ready))
    return [{"repeat": repeat, "prompts": prompts} for repeat in range(ready.settings.bench.repeats)]


def rows(ready: Ready, spec: Path, done: int) -> Iterator[Row]:
    """A row for each repeat: seconds until every prompt has its first token, and until it has as many as it may have.

    Raises InputError for prompts that the model does not take.
    """
    settings, items, model = ready.settings, read_items(ready), load_model(ready, spec)
    ask = partial(
        model.generate,
        [item.prompt for item in items],
        [item.images for item in items],
        raw=settings.data.raw,
        ignore_eos=True,
        **{**settings.generate.model_dump(), "seed": settings.run.seed},
    )
    with told_with_places(items):
        for _ in range(settings.bench.warmup):
            ask()
        for repeat in range(done, settings.bench.repeats):
            (first, _), (seconds, found) = _timed(partial(ask, max_tokens=1)), _timed(ask)
            yield {
                "repeat": repeat,
                "prompts": len(items),
                "prompt_tokens": sum(len(each.prompt_token_ids) for each in found),
                "tokens": sum(len(each.token_ids) for each in found),
                "first_token_seconds": first,
                "seconds": seconds,
            }


def medians(found: Sequence[Row]) -> Row:
    """Medians of the repeats: tokens of prompts and of answers a second, and both times.

    A second of answers is one after the first token of each; there is no such second where that is the only one.
    """
    first, seconds = (median(number(row, key) for row in found) for key in ("first_token_seconds", "seconds"))
    row = found[0]
    later = number(row, "tokens") - number(row, "prompts")
    speed = {"tokens_per_second": later / max(seconds - first, 1e-9)} if later else {}
    return {
        "prompts": row["prompts"],
        "prompt_tokens_per_second": number(row, "prompt_tokens") / max(first, 1e-9),
        **speed,
        "first_token_seconds": first,
        "seconds": seconds,
    }


def _timed(ask: Callable[[], list[Completion]]) -> tuple[float, list[Completion]]:
    start = perf_counter()
    found = ask()
    return perf_counter() - start, found
