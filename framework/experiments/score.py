"""The task `score`: how well given answers go with their prompts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from triptych.errors import InputError
from triptych.experiments.data import Item, read_items, told_with_places
from triptych.experiments.model import load_model
from triptych.experiments.read import Ready
from triptych.experiments.whole import Row, number
from triptych.tasks import Model
from triptych.tasks.pooling import pooling_task


def asked(ready: Ready) -> list[Row]:
    """The prompt and the answer of each row. Raises InputError for data that cannot be read, or lacks answers."""
    return [item.identity for item in read_items(ready, answers=True)]


def rows(ready: Ready, spec: Path, done: int) -> Iterator[Row]:
    """A row for each prompt and its answer: of a model that writes, the natural logarithm of how likely it finds that;
    of one that pools, its score of the pair.

    Raises InputError for what the model does not take, CapabilityError for one that scores nothing.
    """
    raw, model = ready.settings.data.raw, load_model(ready, spec)
    measure = _score if pooling_task(model.module) else _likelihood
    for item in islice(read_items(ready, answers=True), done, None):
        with told_with_places([item]):
            measured = measure(model, item, raw=raw)
        yield {**item.identity, **measured}


def summary(found: Sequence[Row]) -> Row:
    """The mean of scores; of likelihoods logarithm a token, perplexity, and the share that would be given greedily."""
    if "score" in found[0]:
        return {"prompts": len(found), "score": sum(number(row, "score") for row in found) / len(found)}
    tokens, logprob = (sum(number(row, key) for row in found) for key in ("tokens", "logprob"))
    return {
        "prompts": len(found),
        "tokens": tokens,
        "logprob_per_token": logprob / tokens,
        "perplexity": math.exp(min(-logprob / tokens, 700)),  # past it there is no such float
        "greedy": sum(bool(row["greedy"]) for row in found) / len(found),
    }


def _likelihood(model: Model, item: Item, *, raw: bool) -> Row:
    (found,) = model.likelihood([item.prompt], [item.answer or ""], [item.images], raw=raw)
    per_token = found.logprob / len(found.token_ids)
    greedy = found.is_greedy
    return {"tokens": len(found.token_ids), "logprob": found.logprob, "logprob_per_token": per_token, "greedy": greedy}


def _score(model: Model, item: Item, *, raw: bool) -> Row:
    del raw  # there is no chat to be had
    if item.images:
        raise InputError("a model that pools scores pairs of texts alone; leave the images out", path="images")
    return {"score": model.score(item.prompt, item.answer or "").item()}
