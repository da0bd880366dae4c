"""Calls of layer_norm."""

from __future__ import annotations

from functools import partial

from tests.kernels.call import Call, Draw, Given


def make(
    draw: Draw, *, shape: tuple[int, ...], layout: str = "", given: str = "weight bias", far: float = 0.0
) -> Given:
    x = getattr(draw, layout)(*shape) if layout else draw(*shape)
    beside = {name: draw(shape[-1]) if name in given.split() else None for name in ("weight", "bias")}
    return {"x": x + far if far else x, **beside, "eps": 1e-2}


def one(name: str, *shape: int, given: str = "weight bias", **options: object) -> Call:
    return Call("layer_norm", name, partial(make, shape=shape, given=given, **options), ("x", *given.split()))


INTERPRETED = [
    one("rows", 5, 64),
    one("one channel", 3, 1, given="bias"),
    one("many narrow rows", 129, 7),
    one("odd width, sliced", 7, 769, layout="sliced"),
    one("heads apart", 5, 3, 100, layout="apart", given=""),
    one("four dimensions", 2, 3, 5, 9, given="weight"),
    one("far from nought", 3, 33, far=6.0),
    one("no rows", 0, 64),
    one("wide", 3, 4099),
]
COMPILED = [one("rows", 8192, 4096), one("a tower's", 36928, 1152)]
COMPILED_ALL = [
    one("one row", 1, 4096, given="weight"),
    one("heads apart", 8192, 40, 128, layout="apart", given=""),
    one("odd", 83, 5125, layout="sliced", given="bias"),
    one("wide", 16, 8192),
    Call("layer_norm", "widest", partial(make, shape=(16, 16384))),
]
