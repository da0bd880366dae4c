"""Calls of gated."""

from __future__ import annotations

from functools import partial

from tests.kernels.call import Call, Draw, Given
from triptych.kernels import activations
from triptych.kernels.gated.activated import NAMES


def make(
    draw: Draw,
    *,
    shape: tuple[int, ...],
    activation: str,
    layout: str = "",
    limit: float | None = None,
    scale: float = 1.0,
    size: float = 1.0,
) -> Given:
    gate_up = size * draw(*shape) if not layout else getattr(draw, layout)(*shape)
    return {"gate_up": gate_up, "activation": getattr(activations, activation), "limit": limit, "scale": scale}


def one(name: str, *shape: int, activation: str = "silu", **options: object) -> Call:
    return Call("gated", name, partial(make, shape=shape, activation=activation, **options), ("gate_up",))


INTERPRETED = [
    *(one(name, 7, 198, activation=name, size=5.0) for name in NAMES.values()),
    one("many narrow rows", 129, 6),
    one("odd width, sliced", 5, 770, layout="sliced", activation="gelu"),
    one("rows apart", 5, 3, 100, layout="apart", limit=0.5),
    one("limit", 7, 198, limit=0.3, activation="gelu_tanh"),
    one("scale", 7, 198, scale=0.4, limit=0.7, activation="tanh"),
    one("more than a block", 2, 4198, activation="mish", limit=1.0),
    one("no rows", 0, 64),
]
COMPILED = [one("rows", 8192, 28672), one("limited", 8192, 1536, activation="gelu", limit=7.0, scale=0.5)]
COMPILED_ALL = [
    *(one(f"a row of {name}", 1, 28672, activation=name) for name in NAMES.values()),
    one("odd", 83, 5126, layout="sliced"),
]
