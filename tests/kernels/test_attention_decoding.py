"""Steps whose numbers are on the device alone, beside the same steps with numbers that the host knows."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import Any

import pytest
import torch

from tests.kernels.call import Call, Draw, check
from tests.kernels.calls.attention import SEEN, on_device, paged
from triptych.errors import KernelError
from triptych.kernels.attention import DecodeSpans, Reach, reference
from triptych.kernels.attention.on_gpu import work

PAST = (16, None, 15, 3, 70, None)
THERE = [i for i, rows in enumerate(PAST) if rows is not None]


def spans(lengths: list[int], *, most: int) -> DecodeSpans:
    rows = torch.arange(len(lengths), dtype=torch.int32).flip(0)
    tables = torch.zeros(1, len(lengths), 1000, dtype=torch.int32)
    return DecodeSpans(torch.tensor(lengths, dtype=torch.int32), rows, tables, most=most)


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
def test_rows_see_what_they_see_in_a_step_of_the_host(seen: dict[str, Any]) -> None:
    known = tuple(PAST[i] for i in THERE)
    found = on_device(Draw(torch.float64), past=PAST, **seen)
    wanted = paged(Draw(torch.float64), new=(1,) * 4, past=known, **seen)
    wanted["q_THK"] = found["q_THK"][THERE]
    wanted["kept"] = found["kept"]._replace(tables=wanted["kept"].tables)
    y = reference.attention(**found)
    torch.testing.assert_close(y[THERE], reference.attention(**wanted))
    assert not y[[i for i in range(len(PAST)) if i not in THERE]].any()


@pytest.mark.parametrize("name", ["past", "lengths", "single", "ones", "runs"])
def test_who_asks_for_numbers_of_the_host_is_told_that_there_are_none(name: str) -> None:
    if name == "single":  # is known: each has one new row
        assert spans([3, 1], most=4).single
        return
    with pytest.raises(KernelError, match="of sequences are on the device alone"):
        getattr(spans([3, 1], most=4), name)


REACHES = {"all": Reach(), "a window": Reach(window=700), "chunks": Reach(chunk=1000), "little": Reach(window=9)}


@pytest.mark.interpret
@pytest.mark.parametrize("reach", REACHES.values(), ids=REACHES)
@pytest.mark.parametrize("wanted", [1, 3, 132])
@pytest.mark.parametrize(("group", "rows"), [(4, 16), (71, 64)])
@pytest.mark.parametrize("lengths", [[1], [0, 1], [256, 257, 0, 9000, 64, 63], [5000, *range(60)]], ids=str)
def test_the_list_is_that_of_the_host(lengths: list[int], reach: Reach, wanted: int, group: int, rows: int) -> None:
    from triptych.kernels.attention.on_gpu import listing

    made, tiles = spans(lengths, most=9000), ceil(group / rows)
    items, joins = listing.listed(made, reach, tiles=tiles, rows=rows, wanted=wanted)
    cut = sum(length - start(length, reach) for length in lengths)
    keys = max(listing.LEAST, ceil(ceil(cut / wanted) / listing.ALIGN) * listing.ALIGN)
    assert keys <= listing.most_keys(made, reach, wanted=wanted)
    there = [i for i, length in enumerate(lengths) if length]
    whole = [
        work.Item(i, 1, lengths[i] - 1, 0, int(made.rows_B[i]) * made.tables_NRP.shape[2], 0, lengths[i]) for i in there
    ]
    wanted_items, wanted_joins = work.parts(
        work.tiles(whole, group=group, rows=rows), reach=reach, group=group, keys=keys, align=listing.ALIGN
    )
    found = [work.Item(*item) for item in items.flatten(0, 1).tolist()]
    assert len(found) == len(items[0]) * tiles
    some = [item for item in found if item.new and item.high]
    assert sorted(item._replace(part=-1) for item in some) == sorted(item._replace(part=-1) for item in wanted_items)
    told = [work.Join(*join) for join in joins.flatten(0, 1).tolist() if join[1]]
    assert {(join.row, join.first, join.parts) for join in told} == {
        (join.row, join.first, join.parts) for join in wanted_joins
    }
    for join in told:
        own = found[join.part : join.part + join.parts]
        assert {(item.row, item.first) for item in own} == {(join.row, join.first)}
        assert [item.part for item in own] == [*range(join.part, join.part + join.parts)]
    assert sum(item.part >= 0 for item in found) == sum(join.parts for join in told)
    nothing = [item for item in found if not item.high]
    assert {item.row for item in nothing if item.new} == {i for i, length in enumerate(lengths) if not length}


def start(length: int, reach: Reach) -> int:
    from triptych.kernels.attention.on_gpu.listing import ALIGN

    return reach.start(max(length - 1, 0)) // ALIGN * ALIGN


@pytest.mark.interpret
def test_a_part_of_more_pages_than_are_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a GPU that runs few programs side by side, so that parts are long: 44 pages."""
    from triptych.kernels.attention.on_gpu import launch

    monkeypatch.setattr(launch, "multiprocessors", lambda _: 1)
    check(Call("attention", "long parts", partial(on_device, past=(1300, 5), heads=(2, 1))), Draw(torch.float32))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("seen", [{}, {"window": 700, "sinks": True}], ids=["all", "a window"])
@torch.inference_mode()
def test_a_graph_that_is_replayed_sees_as_many_rows_as_there_are_now(seen: dict[str, Any]) -> None:
    from triptych.kernels.attention import kernel

    given = on_device(Draw(torch.bfloat16, "cuda"), past=(900, None, 15, 300), **seen)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        kernel.attention(**given)  # compiled before
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    given["spans"].memo.clear()
    with torch.cuda.graph(graph):
        found = kernel.attention(**given)
    for lengths in ([901, 0, 16, 301], [16, 0, 0, 290], [0, 0, 3, 0], [850, 0, 1, 301]):
        given["spans"].lengths_B.copy_(torch.tensor(lengths))
        graph.replay()
        given["spans"].memo.clear()
        assert found.equal(kernel.attention(**given))
