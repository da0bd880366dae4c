"""Rows that see each other both ways: the fused path against the definition, the definition against a plain mask."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.kernels.test_attention import Case, drawn
from triptych.errors import KernelError
from triptych.kernels.attention import Reach, Spans, attention, reference, sdpa

REACHES = (Reach(), Reach(window=1), Reach(window=4), Reach(window=7, chunk=5), Reach(chunk=6), Reach(window=300))
REACHES += (Reach(window=4, whole_blocks=True), Reach(window=7, chunk=5, whole_blocks=True))


@st.composite
def blocks_in(draw: st.DrawFn, start: int, stop: int) -> tuple[range, ...]:
    """Blocks of some of the rows, next to each other or apart."""
    cuts = sorted(draw(st.sets(st.integers(start, stop), max_size=6)))
    return tuple(range(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, tuple[tuple[range, ...], ...]]:
    """Sequences with and without a past, some of one row, in pages of four rows or without a cache."""
    new = tuple(draw(st.lists(st.integers(1, 14), min_size=1, max_size=3)))
    past = tuple(draw(st.integers(0, 9)) for _ in new) if draw(st.booleans()) else ()
    tables = tuple(tuple(range(6 * i, 6 * i + 6)) for i in range(len(new)))
    at = past or (0,) * len(new)
    blocks = tuple(draw(blocks_in(start, start + count)) for start, count in zip(at, new, strict=True))
    return Case(new, past, tables if past else (), 4), blocks


def cut(case: Case, blocks: Any, **shape: Any) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
    """q, k, v, and the options that say how they are cut."""
    q, k, v, _, kept = drawn(case, **shape)
    return q, k, v, {"spans": Spans.of(case.new, case.past or None, blocks), "kept": kept, "scale": 0.3}


def plainly(
    q: Tensor, k: Tensor, v: Tensor, blocks: tuple[range, ...], reach: Reach, *, bias: Tensor | float = 0.0
) -> Tensor:
    """One sequence of as many heads as key heads: a mask of sets, and a softmax over it."""
    block_of = {row: block for block in blocks for row in block}
    rows = range(len(q))
    own = [[t in block_of and s in block_of[t] for s in rows] for t in rows]
    seen = [[(s <= t or own[t][s]) and s >= reach.start(t) for s in rows] for t in rows]
    if reach.whole_blocks:
        seen = [[a or b for a, b in zip(*each, strict=True)] for each in zip(seen, own, strict=True)]
    scores = torch.einsum("thk,shk->hts", q, k) * 0.3 + bias
    weights = scores.masked_fill(~torch.tensor(seen), float("-inf")).softmax(-1)
    return torch.einsum("hts,shv->thv", weights, v)


@given(length=st.integers(1, 14), reach=st.sampled_from(REACHES), softcap=st.sampled_from([None, 1e5]), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_row_sees_what_came_before_it_and_its_own_block_within_its_reach(
    length: int, reach: Reach, softcap: float | None, data: st.DataObject
) -> None:
    blocks = data.draw(blocks_in(0, length))
    q, k, v, options = cut(Case((length,)), [blocks], heads=2)
    found = attention(q, k, v, **options, **reach._asdict(), softcap=softcap)
    torch.testing.assert_close(found, plainly(q, k, v, blocks, reach), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reach", [Reach(), Reach(4), Reach(4, whole_blocks=True)])
@pytest.mark.parametrize("softcap", [None, 1e5])
def test_scores_fall_with_the_distance_in_a_block_too(reach: Reach, softcap: float | None) -> None:
    blocks = (range(2, 9),)
    q, k, v, options = cut(Case((12,)), [blocks], heads=2, groups=2)
    distances = (torch.arange(12)[:, None] - torch.arange(12)).abs()
    bias = -torch.tensor([2.0**-4, 2.0**-8])[:, None, None] * distances
    found = attention(q, k, v, **options, **reach._replace(alibi="linear")._asdict(), softcap=softcap)
    torch.testing.assert_close(found, plainly(q, k, v, blocks, reach, bias=bias), rtol=1e-4, atol=1e-5)


@given(case=cases(), reach=st.sampled_from(REACHES), heads=st.sampled_from([2, 6]))
@settings(max_examples=150, deadline=None)
def test_the_fused_path_equals_the_definition(case: Any, reach: Reach, heads: int) -> None:
    q, k, v, options = cut(*case, heads=heads)
    found = sdpa.attention(q, k, v, **options, causal=True, reach=reach)
    expected = reference.attention(q, k, v, **options, causal=True, reach=reach, softcap=None)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "reach", [Reach(), Reach(window=40), Reach(300), Reach(chunk=37), Reach(40, whole_blocks=True)]
)
def test_blocks_longer_than_a_window_and_a_piece_are_seen_as_at_once(reach: Reach) -> None:
    q, k, v, options = cut(Case((900,)), [[range(3, 290), range(291, 800)]])
    found = sdpa.attention(q, k, v, **options, causal=True, reach=reach)
    expected = reference.attention(q, k, v, **options, causal=True, reach=reach, softcap=None)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reach", [Reach(), Reach(850, whole_blocks=True)])
def test_a_block_that_is_all_in_sight_takes_no_mask(reach: Reach) -> None:
    q, k, v, options = cut(Case((900,)), [[range(0, 800)]])
    sdpa.attention(q, k, v, **options, causal=True, reach=reach)
    assert sum(map(len, options["spans"].memo.values())) == 100  # those of the rows after it


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_the_blocks_of_one_sequence_are_not_those_of_another(softcap: float | None) -> None:
    case, blocks = Case((6, 6, 6)), [[range(1, 4)], [], [range(2, 6)]]
    q, k, v, options = cut(case, blocks)
    found = attention(q, k, v, **options, softcap=softcap)
    for i, start in enumerate((0, 6, 12)):
        part = slice(start, start + 6)
        alone = Spans.of([6], None, [blocks[i]])
        torch.testing.assert_close(
            found[part], attention(q[part], k[part], v[part], spans=alone, scale=0.3, softcap=softcap)
        )


def test_who_sees_both_ways_anyway_takes_no_note_of_blocks() -> None:
    q, k, v, options = cut(Case((6, 6)), [[range(1, 4)], []])
    plain = attention(q, k, v, spans=Spans.of([6, 6]), scale=0.3, causal=False)
    torch.testing.assert_close(attention(q, k, v, **options, causal=False), plain)


@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        ([[range(3, 6)]], "rows 3 to 6 of sequence 0 see each other both ways, and rows 4 to 9 are there for them"),
        ([[range(7, 10)]], "rows 7 to 10 .* rows 4 to 9 are there for them; read them whole"),
        ([[range(4, 6), range(5, 8)]], "rows 5 to 8 .* rows 6 to 9 are there"),
        ([[range(5, 5)]], "rows 5 to 5"),
    ],
)
def test_a_block_that_is_not_there_as_a_whole_is_refused(blocks: Any, told: str) -> None:
    with pytest.raises(KernelError, match=told):
        Spans.of([5], [4], blocks)


def test_no_blocks_are_no_blocks() -> None:
    assert Spans.of([5, 2], None, [(), ()]).blocks == ()
