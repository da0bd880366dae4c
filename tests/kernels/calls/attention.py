"""Calls of attention: packed sequences, with and without pages."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from tests.kernels.call import Call, Draw, Given
from triptych.kernels.attention.alibi import Alibi
from triptych.kernels.attention.decoding import DecodeSpans
from triptych.kernels.attention.spans import Kept, Reach, Spans

PAGE = 16


def alone(
    draw: Draw,
    *,
    new: tuple[int, ...],
    past: tuple[int, ...] | None = None,
    blocks: tuple[tuple[range, ...], ...] = (),
    heads: tuple[int, int] = (4, 2),
    widths: tuple[int, int] = (32, 32),
    layout: str = "apart",
    sinks: bool = False,
    window: int | None = None,
    chunk: int | None = None,
    whole_blocks: bool = False,
    alibi: Any = None,
    **options: Any,
) -> Given:
    """Rows of the step alone."""
    (H, G), (K, V), T = heads, widths, sum(new)
    make = getattr(draw, layout) if layout else draw
    scale = K**-0.5
    return {
        "q_THK": make(T, H, K),
        "k_TGK": make(T, G, K),
        "v_TGV": make(T, G, V),
        "spans": Spans.of(new, past, blocks),
        "kept": None,
        "scale": scale,
        "causal": True,
        "reach": Reach(window, chunk, whole_blocks, alibi and Alibi(H, alibi, scale)),
        "softcap": None,
        "sinks": draw(H) if sinks else None,
        **options,
    }


def paged(draw: Draw, *, page: int = PAGE, **options: Any) -> Given:
    """Rows of the step and older ones in pages, which stand in no order; those that nobody sees are not numbers."""
    given = alone(draw, **options)
    spans, k, v = given["spans"], given["k_TGK"], given["v_TGV"]
    needed = [-(-length // page) for length in spans.lengths]
    free = [*range(1, 2 * sum(needed) + 2, 2)]
    tables = [tuple(free.pop() for _ in range(count)) for count in needed]
    reach = given["reach"]
    for i, table in enumerate(tables):  # those out of reach may say anything
        gone = reach.start(spans.past[i]) // page
        tables[i] = (2**30,) * gone + table[gone:]
    pages = 2 * sum(needed) + 2
    kept = Kept(*(_kept(draw, x, pages, page) for x in (k, v)), tables)
    for i, table in enumerate(tables):
        _fill(kept, table, (k, v), range(spans.past[i], spans.lengths[i]), spans.bounds[i])
        _fill(kept, table, tuple(draw(spans.past[i], *x.shape[1:]) for x in (k, v)), range(spans.past[i]), 0)
    return {**given, "kept": kept}


def _kept(draw: Draw, like: Tensor, pages: int, page: int) -> Tensor:
    return draw(pages, like.shape[1], page, like.shape[2]).fill_(float("nan"))


def _fill(kept: Kept, table: tuple[int, ...], rows: tuple[Tensor, ...], at: range, first: int) -> None:
    page = kept.k.shape[2]
    for number, where in enumerate(at, first):
        if table[where // page] < len(kept.k):
            for to, source in zip((kept.k, kept.v), rows, strict=True):
                to[table[where // page], :, where % page] = source[number]


def on_device(draw: Draw, *, past: tuple[int | None, ...], more: int = 0, **options: Any) -> Given:
    """A new row of each sequence whose numbers are on the device alone; None for one that is not there."""
    there = [i for i, rows in enumerate(past) if rows is not None]
    known = tuple(rows for rows in past if rows is not None)
    given = paged(draw, new=(1,) * len(known), past=known, **options)
    tables, most = given["kept"].tables, max(known) + 1
    pages = -(-(most + more) // given["kept"].k.shape[2])
    made = torch.full((2, len(past) + 3, pages), -1, dtype=torch.int32)
    rows = [len(past) + 1 - i for i in range(len(past))]
    lengths = [0 if each is None else each + 1 for each in past]
    for i, table in zip(there, tables, strict=True):
        made[1, rows[i], : len(table)] = torch.tensor(table)
    on = {"dtype": torch.int32, "device": draw.device}
    spans = DecodeSpans(torch.tensor(lengths, **on), torch.tensor(rows, **on), made.to(draw.device), most=most + more)
    q, k, v = (draw(len(past), *given[name].shape[1:]) for name in ("q_THK", "k_TGK", "v_TGV"))
    kept = given["kept"]._replace(tables=(), group=1)
    return {**given, "q_THK": q, "k_TGK": k, "v_TGV": v, "spans": spans, "kept": kept}


def own(name: str, *gradients: str, ahead: bool = False, products: bool = False, **options: Any) -> Call:
    return Call("attention", name, partial(alone, **options), gradients, products=products, ahead=ahead)


def older(name: str, *, ahead: bool = False, products: bool = False, **options: Any) -> Call:
    return Call("attention", f"{name}, paged", partial(paged, **options), products=products, ahead=ahead)


def listed(name: str, *, ahead: bool = False, **options: Any) -> Call:
    return Call("attention", f"{name}, listed on the device", partial(on_device, **options), ahead=ahead)


MIXED = {"new": (5, 1, 18, 0, 33), "past": (0, 16, 15, 3, 17)}
QKV = ("q_THK", "k_TGK", "v_TGV")
SEEN: dict[str, dict[str, Any]] = {
    "causal": {},
    "window": {"window": 7},
    "chunks": {"chunk": 12},
    "a window in chunks": {"window": 9, "chunk": 20},
    "both ways": {"causal": False},
    "both ways in a window": {"causal": False, "window": 5},
    "sinks and a window": {"sinks": True, "window": 7},
    "softcap": {"softcap": 1.5},
    "scores that grow": {"softcap": 1.5, "temperature_length": 3},
    "scores that grow in a window": {"temperature_length": 16, "window": 20},
    "scores that grow, alibi": {"temperature_length": 5, "alibi": "linear"},
    "alibi": {"alibi": "linear"},
    "alibi of the root in a window, softcap": {"alibi": "root", "window": 20, "softcap": 3.0},
    "scaled alibi": {"alibi": "scaled"},
}
LONG_BLOCK = {"blocks": ((range(3, 100),),)}
OLDER_BLOCKS = {"blocks": ((range(1, 4),), (), (range(16, 33),), (), (range(17, 20), range(25, 50)))}
OWN: dict[str, Any] = {"new": (23, 0, 40), "past": (0, 3, 5)}
OWN_BLOCKS = {"blocks": ((range(1, 9), range(12, 20)), (), (range(7, 33),))}
REACHES: dict[str, dict[str, Any]] = {
    "blocks": {},
    "blocks in a window": {"window": 6},
    "whole blocks in a window": {"window": 6, "whole_blocks": True},
    "whole blocks in chunks, sinks": {"chunk": 8, "whole_blocks": True, "sinks": True},
    "whole blocks in a window, alibi": {"window": 6, "whole_blocks": True, "alibi": "linear", "softcap": 2.0},
}
CONTEXTS = (1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE + 1)
INTERPRETED = [
    *(own(name, *QKV, **OWN, **seen) for name, seen in SEEN.items()),
    *(older(name, **MIXED, **seen) for name, seen in SEEN.items()),
    *(own(name, *QKV, **OWN, **OWN_BLOCKS, **seen) for name, seen in REACHES.items()),
    *(older(name, **MIXED, **OLDER_BLOCKS, **seen) for name, seen in REACHES.items()),
    *(own(f"heads {heads}", new=(19,), heads=heads) for heads in ((4, 4), (7, 1), (6, 2), (5, 1))),
    *(own(f"widths {widths}", new=(19,), widths=widths) for widths in ((72, 72), (80, 8), (96, 64), (256, 3))),
    own("several tiles", new=(129, 60), heads=(4, 1), widths=(64, 64)),
    own("several tiles in a window", new=(129, 60), heads=(4, 1), widths=(64, 64), window=20),
    own("several tiles both ways", new=(129, 60), heads=(4, 1), widths=(64, 64), causal=False),
    own("later rows of the step alone", new=(9, 20), past=(5, 33), window=6),
    own("gradients of sinks", *QKV, "sinks", new=(19, 5), heads=(6, 2), sinks=True, softcap=2.0),
    own("gradients of odd widths", *QKV, new=(40,), heads=(3, 1), widths=(20, 40), causal=False),
    own("gradients of several tiles", *QKV, new=(70, 3), heads=(2, 1), window=40),
    own("gradients at the edge of a tile", *QKV, new=(70,), heads=(2, 1), window=2),
    own("gradients of a long block", *QKV, new=(110,), heads=(2, 1), window=6, whole_blocks=True, **LONG_BLOCK),
    own("sliced", new=(9, 20), layout="sliced", widths=(20, 12)),
    own("no rows", new=(0,)),
    own("empty sequences", new=(0, 5, 0, 3, 0)),
    older("decoding", new=(1,) * 5, past=CONTEXTS),
    older("decoding in a window, sinks", new=(1,) * 5, past=CONTEXTS, window=10, sinks=True),
    older("a few rows", new=(2, 8, 1), past=(33, 16, 1), heads=(7, 1), sinks=True),
    older("parts", new=(1, 3, 1), past=(600, 300, 20), heads=(4, 2), sinks=True),
    older("parts both ways", new=(3,), past=(300,), causal=False),
    older("parts of more rows than a tile has", new=(8,), past=(300,), heads=(9, 1)),
    # Flat slopes and a small scale: of a large score, float32 keeps fewer digits than are held to below.
    older("scaled alibi far along", new=(1, 9), past=(600, 300), widths=(128, 32), alibi="scaled"),
    older("many parts", new=(1,), past=(4400,), heads=(2, 1), sinks=True),
    older("parts in a window", new=(1, 3), past=(900, 600), window=700, sinks=True, heads=(3, 1)),
    older("parts of long pages", new=(1, 3), past=(600, 300), page=64, alibi="linear", softcap=2.0),
    older("values of another width", **MIXED, widths=(24, 40)),
    older("odd pages", new=(1, 20), past=(300, 100), page=48),
    *(listed(name, past=(16, None, 15, 3, 700), **seen) for name, seen in SEEN.items()),
    listed("one row", past=(0,), heads=(1, 1)),
    listed("nobody else", past=(None, None, 600, None), more=700, sinks=True),
    listed("more rows than a tile has", past=(300, 20), heads=(71, 1)),
    listed("parts in a window", past=(900, 1100, 5, 600), window=700, sinks=True, heads=(3, 1)),
    listed("parts of long pages", past=(700, None, 64, 63), page=64, alibi="linear", softcap=2.0),
    listed("values of another width", past=(40, 300), widths=(24, 40), page=48),
    listed("many sequences", past=(*range(70),), heads=(2, 1), more=900),
]
H100 = {"products": True, "ahead": True}
LLAMA: dict[str, Any] = {"heads": (32, 8), "widths": (128, 128)}
COMPILED = [
    own("a prompt", new=(4096,), **LLAMA, **H100),
    older("a chunk", new=(512,), past=(1024,), page=64, **LLAMA, **H100),
    older("decoding", new=(1,) * 3, past=(2048, 7, 300), page=64, **LLAMA, ahead=True),
    listed("decoding", past=(2048, None, 300), page=64, **LLAMA, ahead=True),
    older("decoding of narrow heads, a cap", new=(1, 1), past=(600, 37), page=512, widths=(16, 16), softcap=2.0),
    own("images in heads of 72", new=(729,), heads=(16, 16), widths=(72, 72), causal=False, **H100),
    own("training", *QKV, new=(1024, 300), **LLAMA, **H100),
    own("wide heads in a window", new=(2048,), heads=(8, 4), widths=(256, 256), window=512, **H100),
]
GEMMA: dict[str, Any] = {"heads": (8, 4), "widths": (256, 256)}
COMPILED_ALL = [
    *(own(name, new=(300,), **LLAMA, **seen) for name, seen in SEEN.items()),
    *(older(name, new=(300,), past=(300,), page=64, **LLAMA, **seen) for name, seen in SEEN.items()),
    own("images", new=(577,) * 4, heads=(16, 16), widths=(64, 64), causal=False, **H100),
    own("blocks", new=(300,), blocks=((range(5, 200),),), **GEMMA),
    older("whole blocks", new=(300,), past=(90,), blocks=((range(95, 200),),), whole_blocks=True, window=64, **GEMMA),
    *(own(f"widths {widths}", new=(300,), widths=widths) for widths in ((32, 32), (72, 72), (80, 80), (192, 128))),
    own("a few rows", new=(7,), **LLAMA),
    own(
        "training in a window, with sinks and a cap",
        *QKV,
        "sinks",
        new=(90,),
        window=64,
        sinks=True,
        softcap=50.0,
        **LLAMA,
    ),
    own("training both ways", *QKV, new=(90,), heads=(16, 16), widths=(72, 72), causal=False),
    own("training of wide heads", *QKV, new=(90,), blocks=((range(9, 20),),), **GEMMA),
    older("decoding of short pages", new=(1,) * 3, past=(2048, 7, 300), **LLAMA),
    older("decoding of wide heads", new=(1,) * 3, past=(2048, 7, 300), page=32, **GEMMA),
    listed("decoding in a window", past=(2048, None, 300), page=4096, **LLAMA, window=512),
    listed("decoding of many heads", past=(2048, 7), page=64, heads=(71, 1), widths=(64, 64)),
    older("decoding of many heads", new=(1,) * 3, past=(2048, 7, 300), page=64, heads=(71, 1), widths=(64, 64)),
]
