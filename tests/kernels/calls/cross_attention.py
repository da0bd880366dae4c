"""Calls of cross_attention."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.kernels.call import Call, Draw, Given
from triptych.kernels.attention.spans import Kept, Spans


def beside(
    draw: Draw,
    *,
    new: tuple[int, ...],
    lengths: tuple[int, ...],
    page: int,
    heads: tuple[int, int] = (4, 2),
    widths: tuple[int, int] = (32, 32),
    turned: bool = False,
) -> Given:
    """Every second page of a cache, last ones first; rows past the length of each are not numbers."""
    (H, G), (K, V), pages = heads, widths, 2 * len(new) + 1
    shapes = ((pages, page, G, width) if turned else (pages, G, page, width) for width in (K, V))
    k, v = (draw(*shape).transpose(1, 2) if turned else draw(*shape) for shape in shapes)
    tables = [(2 * number + 1,) for number in reversed(range(len(new)))]
    for (number,), length in zip(tables, lengths, strict=True):
        k[number, :, length:], v[number, :, length:] = float("nan"), float("nan")
    return {
        "q_THK": draw.apart(sum(new), H, K),
        "kept": Kept(k, v, tables),
        "lengths": lengths,
        "spans": Spans.of(new, [3] * len(new)),
        "scale": K**-0.5,
    }


def one(name: str, *, ahead: bool = False, products: bool = False, **options: Any) -> Call:
    return Call("cross_attention", name, partial(beside, **options), ahead=ahead, products=products)


INTERPRETED = [
    one("single rows", new=(1, 1, 1), lengths=(1, 33, 70), page=70),
    one("rows", new=(5, 1, 0, 40), lengths=(20, 64, 3, 1), page=64, heads=(6, 2)),
    one("transposed", new=(5, 20), lengths=(20, 64), page=65, turned=True),
    one("values of another width", new=(5, 20), lengths=(20, 64), page=65, widths=(20, 40)),
    one("no rows", new=(0,), lengths=(5,), page=8),
]
WHISPER: dict[str, Any] = {"page": 1500, "heads": (20, 20), "widths": (64, 64)}
COMPILED = [
    one("a prompt", new=(100, 300), lengths=(1500, 1500), products=True, ahead=True, **WHISPER),
    one("decoding", new=(1, 1), lengths=(1500, 1500), ahead=True, **WHISPER),
]
