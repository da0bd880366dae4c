"""Calls of merge."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.kernels.call import Call, Draw, Given


def given(
    draw: Draw, *, tokens: int, width: int, share: float = 0.5, vocab: int = 50, layout: str = "", scale: float = 1.0
) -> Given:
    """Ids at places of items are past the vocabulary."""
    is_item = torch.rand(tokens, generator=draw.generator) < share
    ids = draw.whole(vocab, tokens, dtype=torch.int64)
    make = getattr(draw, layout) if layout else draw
    is_there = is_item.to(draw.device)
    return {
        "ids_T": ids.masked_fill(is_there, vocab + 7),
        "table_VD": make(vocab, width),
        "rows_ND": make(int(is_item.sum()), width),
        "is_item_T": is_there,
        "scale": scale,
    }


def call(name: str, **options: Any) -> Call:
    return Call("merge", name, partial(given, **options))


INTERPRETED = [
    call("texts and items", tokens=37, width=64),
    call("a wide row", tokens=5, width=2051, scale=45.3),
    call("narrow rows", tokens=129, width=9, scale=1.7),
    call("cut out of wider rows", tokens=21, width=33, layout="sliced"),
    call("texts alone", tokens=7, width=16, share=0.0),
    call("items alone", tokens=7, width=16, share=1.0),
    call("an image late in a long prompt", tokens=5000, width=2, share=0.01),
    call("so many tokens that items are counted before", tokens=16400, width=1, share=0.01),
    call("no tokens", tokens=0, width=16),
]
COMPILED = [
    call("texts and items", tokens=8192, width=4096, vocab=32000),
    call("scaled", tokens=64, width=2560, vocab=32000, scale=50.5),
]
COMPILED_ALL = [
    call("odd, sliced", tokens=83, width=769, layout="sliced"),
    call("long", tokens=40000, width=5120),
]
