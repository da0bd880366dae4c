"""Calls of prepare_step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate

import torch

from tests.kernels.call import Call, Draw, Given
from triptych.kernels.prepare_step import StepTable


def given(
    draw: Draw, *, new: Sequence[int], size: int, rows: int = 9, tokens: int = 70, pages: Sequence[int] = (16,)
) -> Given:
    """`new` tokens of each request. Of some requests the next token is known, of some only the one drawn last is."""
    count = max(-(-tokens // each) for each in pages)
    chosen = torch.randperm(rows, generator=draw.generator)[: len(new)].int()
    computed = draw.whole(tokens // 2, rows).cpu()
    known = computed.clone()
    for row, more in zip(chosen.tolist(), new, strict=True):
        known[row] += more if more > 1 else int(draw.whole(2, 1))
    held = draw.whole(50, len(pages), rows, count)
    table = StepTable(
        tokens=draw.whole(1000, rows, tokens),
        known=known.to(draw.device),
        last=1000 + draw.whole(1000, rows, dtype=torch.int64),
        computed=computed.to(draw.device),
        delta=draw.whole(100, rows) - 50,
        pages=held.masked_fill(draw.whole(5, *held.shape) == 0, -1),
        page_sizes=torch.tensor(pages, dtype=torch.int32).to(draw.device),
    )
    bounds = torch.tensor([0, *accumulate(new)], dtype=torch.int32)
    return {"packed": torch.cat((chosen, bounds)).to(draw.device), "table": table, "requests": len(new), "size": size}


def call(name: str, **options: object) -> Call:
    return Call("prepare_step", name, partial(given, **options))  # type: ignore[arg-type]


INTERPRETED = [
    call("each writes", new=[1] * 7, size=7),
    call("some write, some are read", new=[1, 1, 1, 30, 1, 19], size=53),
    call("filled up", new=[1, 5, 0, 0], size=16),
    call("two groups", new=[1, 20, 7], size=28, pages=(16, 32)),
    call("more requests than are looked among at a time", new=[1, 2] * 50, size=150, rows=120),
    call("more tokens than a program has", new=[1, 300], size=320, tokens=700),
    call("more requests than tokens", new=[0] * 130 + [1], size=1, rows=140),
    call("a request on its own", new=[33], size=33, rows=1),
    call("nothing", new=[0, 0], size=0),
]
COMPILED = [call("step", new=[1] * 64, size=64, rows=256, tokens=8192, pages=(64, 64))]
COMPILED_ALL = [call("long", new=[1] * 16 + [4000], size=4016, rows=256, tokens=8192, pages=(64,))]
