"""What an experiment does, by the name of its task: rows of measurements, each one whole when it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter

from triptych.assembly import assemble
from triptych.check.shape import check_shapes
from triptych.experiments.data import read_prompts
from triptych.experiments.document import Task
from triptych.experiments.read import Ready
from triptych.experiments.whole import Row
from triptych.spec.catalog import sample_config
from triptych.tasks import random_init


@dataclass(frozen=True)
class Work:
    """A task: its rows, of which the first `done` are there already, and what they come to."""

    rows: Callable[[Ready, Path, int], Iterator[Row]]
    summary: Callable[[Sequence[Row]], Row]


def check(ready: Ready, spec: Path, done: int) -> Iterator[Row]:
    """One row: the model is built on meta and run on inputs without values; its sizes are what is measured.

    Raises SpecError for what does not fit together.
    """
    del spec
    if done:
        return
    config = sample_config(ready.spec, needed_by=f"experiment {ready.name}")
    assembled = assemble(ready.spec, config, name=ready.name)
    check_shapes(assembled)
    module = assembled.module
    yield {
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        **{f"{name}_tokens": rule.count(*rule.largest, {}) for name, rule in assembled.tokens.items()},
        "width": module.width,
    }


def generate(ready: Ready, spec: Path, done: int) -> Iterator[Row]:
    """A row for each prompt: what a model of the spec's sample with random weights answers, and how long it took.

    Each is drawn from the seed of the run, so that a run in two parts gives what one in a piece does. Raises InputError
    for prompts that the model does not take.
    """
    run, options = ready.settings.run, ready.settings.generate.model_dump()
    prompts = read_prompts(ready.settings.data)
    model = random_init(str(spec), device=run.device, dtype=run.dtype, seed=run.seed)
    for item in islice(prompts, done, None):
        start = perf_counter()
        (answer,) = model.generate([item.prompt], raw=True, seed=run.seed, **options)
        yield {
            "prompt": item.prompt,
            "text": answer.text,
            "prompt_tokens": len(answer.prompt_token_ids),
            "tokens": len(answer.token_ids),
            "finish_reason": answer.finish_reason,
            "seconds": round(perf_counter() - start, 6),
        }


def _first(rows: Sequence[Row]) -> Row:
    return rows[0]


def _totals(rows: Sequence[Row]) -> Row:
    """How many prompts were answered, with how many tokens, how fast."""
    tokens, seconds = (sum(_number(row[key]) for row in rows) for key in ("tokens", "seconds"))
    return {
        "prompts": len(rows),
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / max(seconds, 1e-9),
    }


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return value


TASKS: Mapping[Task, Work] = {"check": Work(check, _first), "generate": Work(generate, _totals)}
