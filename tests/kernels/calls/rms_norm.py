"""Calls of rms_norm and add_rms_norm."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.kernels.call import Call, Draw, Given

PLAIN = {"eps": 1e-2, "offset": 0.0, "cast_first": True}


def alone(
    draw: Draw,
    *,
    shape: tuple[int, ...],
    layout: str = "",
    weight: bool = True,
    size: float | None = None,
    **options: Any,
) -> Given:
    x = getattr(draw, layout)(*shape) if layout else draw(*shape)
    x = x if size is None else x * size
    return {"x": x, "weight": draw(shape[-1]) if weight else None, **PLAIN, **options}


def added(draw: Draw, *, beside: torch.dtype | None = None, **options: Any) -> Given:
    given = alone(draw, **options)
    return {**given, "residual": draw(*options["shape"], dtype=beside)}


def one(name: str, *, learns: bool = True, **options: Any) -> list[Call]:
    """Also the gradient of the weight, where it `learns`."""
    asked = ("x", "weight") if learns and options.get("weight", True) else ("x",)
    return [
        Call("rms_norm", name, partial(alone, **options), asked),
        Call("add_rms_norm", name, partial(added, **options), (*asked, "residual")),
    ]


INTERPRETED = [
    *one("rows", shape=(5, 64)),
    # gradients of one channel may be the little that is left of a few numbers: that of x where eps is small
    *one("one channel", shape=(3, 1), eps=1.0, learns=False),
    *one("many narrow rows", shape=(129, 7)),
    *one("odd width, sliced", shape=(7, 769), layout="sliced"),
    *one("heads apart", shape=(5, 3, 100), layout="apart", cast_first=False),
    *one("four dimensions", shape=(2, 3, 5, 9), offset=1.0),
    *one("weightless", shape=(3, 33), weight=False),
    *one("numbers whose squares pass half precision", shape=(3, 33), size=600),
    *one("no rows", shape=(0, 64)),
    *one("wide", shape=(2, 4099), offset=1.0, cast_first=False),
    Call("add_rms_norm", "less wide numbers", partial(added, shape=(5, 64), beside=torch.float16), ("x", "weight")),
]
COMPILED = [
    *one("rows", shape=(8192, 4096)),
    *one("heads", shape=(8192, 40, 128), layout="apart", offset=1.0, cast_first=False),
]
COMPILED_ALL = [
    *one("one row", shape=(1, 4096)),
    *one("odd", shape=(83, 5125), layout="sliced"),
    *one("weightless", shape=(83, 769), weight=False),
    *one("widest", shape=(16, 16384)),
]
