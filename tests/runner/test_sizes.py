"""How large a cache is: within the memory that may be taken, and enough for one request."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.runner.counting import Counting
from triptych.errors import InputError, OptionError
from triptych.parts.cache_layout import rows_of
from triptych.parts.cache_needs import Rows, State
from triptych.runner.request import RunOptions
from triptych.runner.sizes import ON_HOST, Sizes, rows

ROW = 2 * 2 * 4  # layers, key and value, bytes


def run(room: int | None, seqs: int) -> RunOptions:
    memory = None if room is None else room * ROW
    return RunOptions(device=torch.device("cpu"), dtype=torch.float32, max_batch=seqs, cache_bytes=memory)


def nbytes(sizes: Sizes) -> int:
    return sizes.layout.nbytes(torch.float32)


def shape(sizes: Sizes) -> tuple[int, int]:
    """Pages, and rows of a page, of a cache that forgets nothing."""
    (group,) = sizes.layout.groups
    return sizes.layout.pages, group.page


LENGTHS = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=1, max_size=9)


@given(lengths=LENGTHS, room=st.integers(0, 4000), seqs=st.integers(1, 12))
def test_it_is_within_its_memory_and_holds_the_longest_request_or_says_what_would_fit(lengths, room, seqs) -> None:
    longest = max(rows(*each) for each in lengths)
    if longest > room:
        with pytest.raises(InputError, match="would fit"):
            Sizes.of(lengths, Counting().cache_needs(), run(room, seqs))
        return
    found = Sizes.of(lengths, Counting().cache_needs(), run(room, seqs))
    assert nbytes(found) <= room * ROW
    assert prod(shape(found)) >= longest
    assert found.seqs == min(seqs, len(lengths))


@given(longest=st.integers(1, 600), room=st.integers(0, 4000), seqs=st.integers(1, 12))
def test_one_for_whatever_comes_is_so_too(longest: int, room: int, seqs: int) -> None:
    if longest > room:
        fits = f"max_model_len={room} would fit" if room else "no request would fit"
        with pytest.raises(OptionError, match=fits):
            Sizes.for_any(Counting(), run(room, seqs), longest=longest)
        return
    found = Sizes.for_any(Counting(), run(room, seqs), longest=longest)
    assert nbytes(found) <= room * ROW
    assert prod(shape(found)) >= longest


def test_where_there_is_room_each_request_has_a_page_and_else_most_have() -> None:
    needs = Counting().cache_needs()
    for room, wanted in ((800, (4, 200)), (799, (4, 192)), (201, (1, 200))):
        found = Sizes.of([(100, 101)] * 4, needs, run(room, 32))
        assert shape(found) == wanted
        assert (found.seqs, found.longest) == (4, 200)


def test_on_a_host_it_leaves_room_for_others() -> None:
    found = Sizes.for_any(Counting(), run(None, 10**6), longest=10**5)
    assert nbytes(found) <= ON_HOST


NEED = st.one_of(
    st.builds(Rows, st.just(1), st.tuples(st.integers(1, 5)), st.none() | st.sampled_from([4, 50]), st.none()),
    st.builds(Rows, st.just(2), st.just((1, 2)), st.none(), st.sampled_from([8, 40])),
    st.builds(State, st.just(((3,), (2, 2)))),
)


@given(
    needs=st.lists(NEED, min_size=1, max_size=5).map(lambda each: dict(zip("abcde", each, strict=False))),
    longest=st.integers(1, 500),
    numbers=st.integers(0, 20_000),
    seqs=st.integers(1, 12),
)
def test_whatever_is_kept_it_is_within_its_memory_or_says_what_would_fit(needs, longest, numbers, seqs) -> None:
    options = replace(run(None, seqs), cache_bytes=4 * numbers + 3)
    model = SimpleNamespace(cache_needs=lambda: needs, context=None)
    try:
        found = Sizes.for_any(model, options, longest=longest)
    except OptionError as error:
        words = str(error).rpartition("; ")[2]
        if words == "no request would fit":
            with pytest.raises(OptionError, match="no request would fit"):
                Sizes.for_any(model, options, longest=1)
            return
        fits = int(words.removeprefix("max_model_len=").removesuffix(" would fit"))
        assert 0 < fits < longest
        assert Sizes.for_any(model, options, longest=fits)
        with pytest.raises(OptionError):
            Sizes.for_any(model, options, longest=fits + 1)
        return
    layout = found.layout
    assert layout.nbytes(torch.float32) <= 4 * numbers
    assert layout.pages >= sum(group.pages(longest) for group in layout.groups)
    assert 1 <= found.seqs <= min(seqs, layout.slots)
    assert sorted(key for group in layout.groups for key in group.keys) == sorted(rows_of(needs))
    assert all(group.page * group.width <= layout.page_size for group in layout.groups)


def asked(needs: dict[str, Any], *, numbers: int, longest: int) -> Sizes:
    model: Any = SimpleNamespace(cache_needs=lambda: needs, context=None)
    return Sizes.for_any(model, replace(run(None, 8), cache_bytes=4 * numbers), longest=longest)


def test_windows_take_what_is_seen_and_no_more() -> None:
    windows = {f"local.{n}": Rows(1, (1,), window=64) for n in range(3)}
    needs = {**windows, "full": Rows(1, (1,))}
    found = asked(needs, numbers=1500, longest=1000).layout
    assert [(group.page, group.keys) for group in found.groups] == [(48, ("full",)), (16, tuple(windows))]
    assert found.pages == 1500 // 48 >= -(-1000 // 48) + 5
    with pytest.raises(OptionError, match=r"a request of 1400 tokens needs 0\.0 MiB .*; max_model_len=1248 would fit"):
        asked(needs, numbers=1500, longest=1400)
    assert asked(needs, numbers=1500, longest=1248)
    assert asked(windows, numbers=300, longest=10**6).layout.pages == 300 // 48


def test_states_take_a_place_each_and_fewer_run_where_memory_is_scarce() -> None:
    needs = {"state": State(((100,),)), "rows": Rows(1, (1,))}
    for numbers, wanted in ((8 * 110, 8), (500, 4), (110, 1)):
        found = asked(needs, numbers=numbers, longest=10)
        assert (found.seqs, found.layout.slots) == (wanted, wanted)
    with pytest.raises(OptionError, match=r"a request of 10 tokens needs .*; max_model_len=9 would fit"):
        asked(needs, numbers=109, longest=10)
