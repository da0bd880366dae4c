"""Calls of rotary."""

from __future__ import annotations

from functools import partial

from tests.kernels.call import Call, Draw, Given


def given(
    draw: Draw,
    *,
    rows: int,
    heads: int,
    width: int,
    turned: int | None = None,
    layout: str = "",
    interleaved: bool = False,
) -> Given:
    """The tables are of no angle: each of their numbers counts."""
    shape, table = (rows, heads, width), (rows, 1, width if turned is None else turned)
    x = getattr(draw, layout)(*shape) if layout else draw(*shape)
    return {"x_THK": x, "cos_T1R": draw(*table), "sin_T1R": draw(*table), "interleaved": interleaved}


def call(name: str, **options: object) -> Call:
    return Call("rotary", name, partial(given, **options), ("x_THK",))  # type: ignore[arg-type]


INTERPRETED = [
    call("halves", rows=7, heads=5, width=16),
    call("neighbours", rows=7, heads=5, width=16, interleaved=True),
    call("more rows than a program turns", rows=129, heads=3, width=10),
    call("heads of queries and keys apart", rows=5, heads=3, width=72, layout="apart"),
    call("apart, neighbours", rows=5, heads=3, width=72, layout="apart", interleaved=True),
    call("a slice of each head", rows=3, heads=2, width=40, layout="sliced"),
    call("in part", rows=5, heads=3, width=20, turned=12),
    call("in part, neighbours", rows=5, heads=3, width=20, turned=6, interleaved=True),
    call("one pair", rows=3, heads=1, width=2),
    call("nothing turned", rows=3, heads=2, width=5, turned=0),
    call("no rows", rows=0, heads=2, width=8),
]
COMPILED = [
    call("halves", rows=8192, heads=40, width=128, layout="apart"),
    call("neighbours in part", rows=83, heads=16, width=96, turned=64, interleaved=True),
]
COMPILED_ALL = [
    call("one row", rows=1, heads=40, width=128, layout="apart"),
    call("neighbours", rows=4096, heads=1, width=64, interleaved=True),
    call("in part", rows=83, heads=7, width=80, turned=32),
    call("wide", rows=83, heads=8, width=256),
]
