"""The task `generate`: what a model answers to prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from time import perf_counter

from triptych.experiments.data import read_items, told_with_places
from triptych.experiments.model import load_model
from triptych.experiments.read import Ready
from triptych.experiments.whole import Row, number


def asked(ready: Ready) -> list[Row]:
    """The prompt of each row, its images, and the answer that is looked for, where there are any.

    Raises InputError for data that cannot be read.
    """
    return [item.identity for item in read_items(ready)]


def answers(ready: Ready, spec: Path, done: int) -> Iterator[Row]:
    """A row for each prompt: what the model answers, whether that is what was looked for, and how long it took.

    Each is drawn from the seed of the run, so that a run in two parts gives what one in a piece does. Raises InputError
    for prompts that the model does not take.
    """
    settings = ready.settings
    items, model = read_items(ready), load_model(ready, spec)
    options = {**settings.generate.model_dump(), "seed": settings.run.seed, "raw": settings.data.raw}
    for item in islice(items, done, None):
        start = perf_counter()
        with told_with_places([item]):
            (answer,) = model.generate([item.prompt], [item.images], **options)
        yield {
            **item.identity,
            "text": answer.text,
            "prompt_tokens": len(answer.prompt_token_ids),
            "tokens": len(answer.token_ids),
            "finish_reason": answer.finish_reason,
            **({} if item.answer is None else {"exact": answer.text.strip() == item.answer.strip()}),
            "seconds": round(perf_counter() - start, 6),
        }


def speed(rows: Sequence[Row]) -> Row:
    """How many prompts were answered, with how many tokens, how fast, and which share as was looked for."""
    tokens, seconds = (sum(number(row, key) for row in rows) for key in ("tokens", "seconds"))
    exact = [bool(row["exact"]) for row in rows if "exact" in row]
    return {
        "prompts": len(rows),
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / max(seconds, 1e-9),
        **({"exact": sum(exact) / len(exact)} if exact else {}),
    }
