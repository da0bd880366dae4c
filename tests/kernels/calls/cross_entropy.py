"""Calls of cross_entropy and linear_cross_entropy."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.kernels.call import Call, Draw, Given

PLAIN = {"ignore": -100, "scale": 1.0, "softcap": None}


def targets(draw: Draw, rows: int, vocab: int, ignored: int) -> Any:
    found = draw.whole(vocab, rows).long()
    found[1 : 1 + ignored] = -100
    return found


def alone(
    draw: Draw, *, rows: int, vocab: int, ignored: int = 0, layout: str = "", last: str = "", **options: Any
) -> Given:
    """`last`: the last logits of a row are `high` above the others, or `only` they are not ruled out."""
    logits = getattr(draw, layout)(rows, vocab) if layout else (1 if last else 3) * draw(rows, vocab)
    found = targets(draw, rows, vocab, ignored)
    if last:
        logits[:, -9:] += 10  # some of about the same share, or gradients would be the little that is left of it
        found = found.clamp(min=vocab - 9)
    if last == "only":
        logits[:, :-9] = -torch.inf
    return {"logits": logits, "targets": found, **PLAIN, **options}


def after(
    draw: Draw, *, rows: int, vocab: int, ignored: int = 0, width: int, at_once: int | None, bias: bool, **options: Any
) -> Given:
    x, weight = draw(rows, width), draw.matrices(vocab, width)
    given = {"x": x, "weight": weight, "bias": draw(vocab) if bias else None, "rows": at_once}
    return {**given, "targets": targets(draw, rows, vocab, ignored), **PLAIN, **options}


def one(name: str, rows: int, vocab: int, *, back: bool = True, **options: Any) -> Call:
    given = partial(alone, rows=rows, vocab=vocab, **options)
    return Call("cross_entropy", name, given, ("logits",) if back else ())


def linear(
    name: str, rows: int, vocab: int, width: int, *, at_once: int | None = None, bias: bool = False, **options: Any
) -> Call:
    given = partial(after, rows=rows, vocab=vocab, width=width, at_once=at_once, bias=bias, **options)
    return Call("linear_cross_entropy", name, given, ("x", "weight", "bias") if bias else ("x", "weight"))


INTERPRETED = [
    one("rows", 5, 1000),
    one("one logit", 3, 1),
    one("ignored", 7, 63, ignored=3),
    one("sliced, capped", 7, 770, layout="sliced", softcap=1.5, scale=0.7),
    one("scaled", 3, 100, scale=2.5),
    one("more than a block", 3, 4099, softcap=4.0),
    one("highest in the last block", 3, 4105, last="high"),
    one("ruled out before the last block", 3, 4105, last="only"),
    one("no rows", 0, 100),
    linear("rows", 7, 1000, 48),
    linear("some at a time, ignored", 13, 100, 40, at_once=5, ignored=2, bias=True),
    linear("capped", 9, 33, 16, at_once=4, softcap=1.5, scale=0.7),
]
COMPILED = [
    one("rows", 16, 128256),
    one("capped", 16, 151936, softcap=30.0, back=False),
    linear("rows", 16, 128256, 64),
]
COMPILED_ALL = [
    one("few logits", 16, 1000, scale=0.5),
    linear("capped", 16, 32064, 64, softcap=30.0, scale=0.1, bias=True),
]
