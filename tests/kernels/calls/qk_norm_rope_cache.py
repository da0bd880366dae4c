"""Calls of qk_norm_rope_cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tests.kernels.call import Call, Draw, Given
from triptych.kernels.qk_norm_rope_cache import Norm, Turn


class Writing(Call):
    """A call that writes to pages: each implementation to its own, laid out alike."""

    def outcome(self, op: Callable[..., Any], given: Given) -> list[Tensor]:
        own = {name: fresh(given[name]) for name in ("k_pages", "v_pages")}
        return [*super().outcome(lambda **rest: op(**rest | own), given), *own.values()]


def fresh(x: Tensor) -> Tensor:
    """A copy with the strides of x."""
    whole = x if x._base is None else x._base
    return whole.clone().as_strided(x.shape, x.stride(), x.storage_offset())


def given(
    draw: Draw,
    *,
    rows: int,
    heads: int = 4,
    kv_heads: int = 2,
    width: int = 16,
    values: int | None = None,
    pages: int = 3,
    page: int = 16,
    apart: bool = False,
    turned: int | None = None,
    interleaved: bool = False,
    norm: dict[str, Any] | None = None,
    weights: bool = True,
    skipped: int = 0,
) -> Given:
    """Slots in no order, some of them none at all. Pages are `apart` where those of other mixers lie between."""
    values = width if values is None else values
    channels = heads * width + kv_heads * (width + values)
    slots = torch.randperm(pages * page, generator=draw.generator)[:rows]
    slots[:skipped] = -1
    table = (rows, 1, width if turned is None else turned)
    k, v = (draw(pages, kv_heads, page, each) for each in (width, values))
    if apart:
        whole = draw(pages, kv_heads * page * (width + values) + 5)
        k = whole[:, 5 : 5 + kv_heads * page * width].view(pages, kv_heads, page, width)
        v = whole[:, 5 + kv_heads * page * width :].view(pages, kv_heads, page, values)
    weight = [draw(width), draw(width)] if weights else [None, None]
    return {
        "qkv_TC": (draw.sliced if apart else draw)(rows, channels),
        "slots_T": slots.to(draw.device),
        "k_pages": k,
        "v_pages": v,
        "norm": None if norm is None else Norm(*weight, **{"eps": 1e-2, **norm}),
        "turn": None if turned == 0 else Turn(draw(*table), draw(*table), interleaved),
    }


def call(name: str, **options: Any) -> Call:
    return Writing("qk_norm_rope_cache", name, partial(given, **options))


GEMMA = {"offset": 1.0, "cast_first": False}
INTERPRETED = [
    call("turned alone", rows=5),
    call("normed and turned", rows=5, norm={}),
    call("turned, then normed", rows=5, norm={"last": True}, turned=12),
    call("weight off by one, cast last", rows=5, norm=GEMMA),
    call("normed by no weight", rows=3, norm={}, weights=False),
    call("normed alone", rows=3, norm={}, turned=0),
    call("neither", rows=3, turned=0),
    call("neighbours in part", rows=5, norm={"offset": 1.0}, turned=10, interleaved=True),
    call("in part", rows=5, norm=GEMMA, turned=10),
    call("odd heads", rows=7, heads=7, kv_heads=1, width=20, norm={}),
    call("more heads than a program takes", rows=3, heads=8, kv_heads=3, width=200, norm={}, page=2),
    call("narrower values", rows=5, width=24, values=7, norm={}),
    call("pages apart", rows=7, norm={}, apart=True, values=8),
    call("some rows kept nowhere", rows=7, skipped=3),
    call("page after page", rows=33, heads=2, kv_heads=1, norm={}),
    call("no rows", rows=0, norm={}),
]
COMPILED = [
    call("normed and turned", rows=8192, heads=32, kv_heads=8, width=128, pages=160, page=64, norm={}),
    call("neighbours in part", rows=64, heads=32, kv_heads=2, width=128, page=64, turned=64, interleaved=True),
]
COMPILED_ALL = [
    call("gemma", rows=64, heads=8, kv_heads=4, width=256, page=32, norm=GEMMA, apart=True),
    call("one head", rows=64, heads=71, kv_heads=1, width=64, page=64),
    call("turned, then normed", rows=64, heads=28, kv_heads=4, width=80, page=64, norm={"last": True}),
]
