"""Calls of sample."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.kernels.call import Call, Draw, Given
from triptych.kernels.sample import Limits

Asked = tuple[float, tuple[float, float, float]]  # a temperature, and top_k, top_p and min_p
NONE = (2**30, 2.0, 0.0)


def given(
    draw: Draw,
    *,
    asked: list[Asked],
    vocab: int,
    rows: int | None = None,
    spread: float = 3.0,
    layout: str = "",
    only: int | None = None,
) -> Given:
    """What is `asked` of each row, `rows` times over. All but `only` so many are -inf."""
    asked = asked * (rows or 1) if asked else []
    logits = (getattr(draw, layout) if layout else draw)(len(asked), vocab)
    logits.mul_(spread)
    if only is not None:
        logits[:, torch.randperm(vocab, generator=draw.generator)[only:].to(draw.device)] = -torch.inf
    limits = [[each[1][n] for each in asked] for n in range(3)]
    numbers = [torch.tensor(limits[0], dtype=torch.int64)] + [torch.tensor(each) for each in limits[1:]]
    return {
        "logits_BV": logits,
        "state_B": torch.randint(-(2**63), 2**63 - 1, (len(asked),), generator=draw.generator).to(draw.device),
        "temperature_B": torch.tensor([each[0] for each in asked]).to(draw.device),
        "limits": Limits(*(each.to(draw.device) for each in numbers))
        if any(each[1] != NONE for each in asked)
        else None,
    }


def call(name: str, asked: list[Asked], *, ahead: bool = False, **options: Any) -> Call:
    return Call("sample", name, partial(given, asked=asked, **options), ahead=ahead)


MANY = [
    (1.0, (5, 2.0, 0.0)),
    (0.7, (2**30, 0.9, 0.0)),
    (1.3, (2**30, 2.0, 0.05)),
    (1.0, (40, 0.8, 0.02)),
    (0.0, (5, 0.5, 0.0)),
    (2.0, NONE),
    (0.9, (1, 2.0, 0.0)),
    (1.0, (2**30, 1e-30, 0.0)),
    (1.0, (2**30, 0.999999, 0.0)),
    (1.0, (3, 0.99, 0.5)),
]
INTERPRETED = [
    call("greedy", [(0.0, NONE)] * 3, vocab=4099),
    call("all tokens", [(1.0, NONE), (0.3, NONE), (0.0, NONE)], vocab=4099),
    call("limited in all ways", MANY, vocab=1000),
    call("greedy, the first of many", [(0.0, NONE)], vocab=4099, spread=0.0),
    call("limited in all ways, a few tokens", MANY, vocab=7),
    call("one token", MANY, vocab=1),
    call("more blocks than one, sliced", MANY, vocab=4099, layout="sliced"),
    call("so flat that nearly all stay", MANY, vocab=300, spread=0.01),
    call("few tokens are left", MANY, vocab=300, only=4),
    call("no rows", [], vocab=300),
]
COMPILED = [
    call("limited", [(1.0, (50, 0.9, 0.1))], rows=256, vocab=128256, ahead=True),
    call("all tokens", [(1.0, NONE)], rows=256, vocab=128256, ahead=True),
]
COMPILED_ALL = [call("odd", [(1.0, (50, 0.9, 0.1))], rows=3, vocab=32003, layout="sliced")]
