"""What the device is told of requests that write, beside the step that the host makes of the same requests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from triptych.errors import KernelError
from triptych.kernels.attention import Reach
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Group, Layout
from triptych.parts.cache_needs import Rows
from triptych.runner.decode_table import DecodeTable

PAGE = 16


def cache() -> Cache:
    """Of two groups, one of which forgets."""
    needs = {"all": Rows(1, (4, 4)), "window": Rows(1, (4, 4), window=8)}
    groups = (Group(("all",), Reach(), PAGE, 8), Group(("window",), Reach(window=8), PAGE, 8))
    return Cache(Layout(needs, groups, 20, 3), dtype=torch.float32)


def entry(slot: int, rows: int, tables: list[list[int]], *, token: int = 7, delta: int = 0) -> Any:
    places = SimpleNamespace(delta=delta) if delta else None
    return SimpleNamespace(slot=slot, rows=rows, tables=tables, tokens=[token], places=places)


def held(table: DecodeTable, kept: Cache, writers: list[Any], *, size: int) -> None:
    """The step is that of the host, and rows of nobody are nowhere, see nothing and are not written."""
    ids, step = table.step(size)
    count = len(writers)
    tables = [[each.tables[group] for each in writers] for group in range(2)]
    wanted = kept.step_in([1] * count, past=[each.rows for each in writers], tables=tables)
    nobody = [0] * (size - count)
    assert ids.tolist() == [each.tokens[-1] for each in writers] + nobody
    moved = [each.places.delta if each.places else 0 for each in writers]
    assert step.positions.tolist() == [p + d for p, d in zip(wanted.positions.tolist(), moved, strict=True)] + nobody
    assert step.spans.lengths_B.tolist() == [*wanted.lengths, *nobody]
    for group, key in enumerate(("all", "window")):
        assert step.slots_NB[group].tolist() == kept.row_slots(key, wanted).tolist() + [-1] * len(nobody)
        rows = step.spans.tables_NRP[group][step.spans.rows_B.long()]
        for row, pages in zip(rows.tolist(), tables[group], strict=False):
            assert row[: len(pages)] == pages
    for key in kept.rows:
        new, rows = torch.randn(size, 1, 4), kept.rows[key][0]
        kept.write(key, (new[:count], new[:count]), wanted)
        known = rows.clone()
        step.store(key, new + 1, new + 1)
        assert int((rows != known).any(-1).sum()) == count
        kept.write(key, (new[:count], new[:count]), wanted)
        assert rows.equal(known)


def test_a_step_is_that_of_the_host() -> None:
    kept = cache()
    table = DecodeTable(kept, seqs=3, longest=64, most=4)
    writers = [entry(2, 17, [[5, 0], [-1, 6]], token=40), entry(0, 3, [[9], [8]], token=41, delta=-2)]
    table.send(writers, 4, before=None)
    held(table, kept, writers, size=4)
    writers = [entry(1, 33, [[1, 2, 3], [-1, 4, 10]]), *writers]
    writers[1].rows, writers[2].rows = 32, 16  # both have one page more
    for group in range(2):
        writers[1].tables[group].append(11 + group)
        writers[2].tables[group].append(13 + group)
    table.send(writers, 4, before=None)
    held(table, kept, writers, size=4)
    table.send(writers[:1], 1, before=None)
    held(table, kept, writers[:1], size=1)
    writers = [entry(1, 2, [[15], [16]]), writers[2]]  # somebody else is there
    table.send(writers, 2, before=None)
    held(table, kept, writers, size=2)


def test_a_token_that_the_host_does_not_know_is_that_of_the_flight_before() -> None:
    kept = cache()
    table = DecodeTable(kept, seqs=3, longest=64, most=4)
    writers = [entry(2, 17, [[5, 0], [-1, 6]], token=-1), entry(0, 3, [[9], [8]], token=-1)]
    before: Any = SimpleNamespace(tokens_of=lambda asked: torch.tensor([50 + each.slot for each in asked]))
    table.send(writers, 4, before=before)
    assert table.step(4)[0].tolist() == [52, 50, 0, 0]


def test_a_step_of_the_device_tells_the_host_nothing() -> None:
    table = DecodeTable(cache(), seqs=3, longest=64, most=4)
    table.send([entry(0, 3, [[9], [8]])], 1, before=None)
    with pytest.raises(KernelError, match="the lengths of sequences are on the device alone"):
        _ = table.step(1)[1].lengths
