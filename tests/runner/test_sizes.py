"""How large a cache is: within the memory that may be taken, and enough for one request."""

from __future__ import annotations

from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.runner.counting import Counting
from triptych.errors import InputError, OptionError
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
