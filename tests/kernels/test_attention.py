"""The fused paths against the reference, and the reference against a softmax written out."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.attention import Alibi, Kept, Reach, Spans, attention, reference, sdpa


class Case(NamedTuple):
    """New rows of each sequence, the rows it has kept (none: no cache), and the pages that it fills."""

    new: tuple[int, ...]
    past: tuple[int, ...] = ()
    tables: tuple[tuple[int, ...], ...] = ()
    page: int = 16


CASES = {
    "one": Case((9,)),
    "equal lengths": Case((6, 6, 6)),
    "two lengths": Case((3, 7, 3, 3, 7)),
    "ragged": Case((4, 9, 1)),
    "single rows without a cache": Case((1, 1)),
    "first chunk": Case((5, 5), (0, 0)),
    "ragged first chunk": Case((5, 2), (0, 0)),
    "decode": Case((1, 1, 1), (7, 7, 7)),
    "decode of one": Case((1,), (8,)),
    "ragged decode": Case((1, 1, 1), (3, 11, 0)),
    "decode of other pages": Case((1, 1), (3, 11), ((2,), (1,))),
    "decode of later pages": Case((1, 1), (4, 4), ((2,), (3,))),
    "decode with idle pages between": Case((1, 1, 1), (4, 9, 6), ((0,), (2,), (5,))),
    "decode of pages far apart": Case((1, 1), (4, 9), ((0,), (11,))),
    "decode of pages far apart in equal lengths": Case((1, 1), (9, 9), ((0,), (11,))),
    "decode of several pages": Case((1, 1, 1), (11, 3, 8), ((7, 2, 9), (4,), (0, 1, 3)), 4),
    "decode at the start of a page": Case((1, 1), (8, 4), ((7, 2, 9), (4, 1)), 4),
    "decode of one page and of several": Case((1, 1, 1), (3, 11, 2), ((5,), (7, 2, 9), (4,)), 4),
    "decode of one long page and of several": Case((1, 1, 1, 1), (3, 90, 71, 80), ((5,), (7, 2), (4,), (0, 3)), 80),
    "chunk over pages": Case((7,), (6,), ((3, 1, 8, 2),), 4),
    "decodes, then chunks": Case((1, 1, 5, 3), (6, 9, 4, 0), ((3, 1), (8, 2, 4), (0, 5, 6), (7,)), 4),
    "decodes, then a chunk, in single pages": Case((1, 1, 5), (6, 9, 4), ((3,), (4,), (0,))),
    "decodes far along, then a chunk": Case(
        (1, 1, 1, 6), (30, 3, 17, 9), ((0, 1, 2, 3, 4, 5, 6, 7), (8,), (18, 17, 16, 15, 14), (9, 10, 11, 12)), 4
    ),
    "later chunk": Case((4,), (5,)),
    "ragged later chunks": Case((4, 1, 3), (5, 2, 0), ((0,), (3,), (1,))),
}
SEEN: dict[str, dict[str, Any]] = {
    "causal": {},
    "window": {"window": 4},
    "window of one": {"window": 1},
    "wide window": {"window": 100},
    "chunks": {"chunk": 4},
    "chunks of one": {"chunk": 1},
    "a window in chunks": {"chunk": 6, "window": 4},
    "both ways": {"causal": False},
    "alibi": {"alibi": "linear"},
    "alibi of the root, in a window": {"alibi": "root", "window": 4},
    "scaled alibi": {"alibi": "scaled"},
}
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def drawn(case: Case, *, heads: int = 6, groups: int = 2, width: int = 8, dtype: torch.dtype = torch.float32) -> Any:
    """q, k, v of the new rows, and what of the past they go with."""
    make = torch.Generator().manual_seed(7)
    rows = sum(case.new)
    q, k, v = (torch.randn(rows, n, width, generator=make).to(dtype) for n in (heads, groups, groups))
    spans = Spans.of(case.new, case.past or None)
    if not case.past:
        return q, k, v, spans, None
    tables = case.tables or tuple((number,) for number in range(len(case.new)))
    kept = Kept(*(torch.randn(20, groups, case.page, width, generator=make).to(dtype) for _ in "kv"), tables)
    for i, table in enumerate(tables):
        for row, at in enumerate(range(case.past[i], spans.lengths[i]), spans.bounds[i]):
            for rows_of, new in ((kept.k, k), (kept.v, v)):
                rows_of[table[at // case.page], :, at % case.page] = new[row]
    return q, k, v, spans, kept


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("heads", [2, 6])
@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("case", CASES)
def test_the_fused_paths_equal_the_reference(case: str, seen: str, heads: int, dtype: torch.dtype) -> None:
    q, k, v, spans, kept = drawn(CASES[case], heads=heads, dtype=dtype)
    alibi = Alibi(heads, SEEN[seen]["alibi"], 0.3) if "alibi" in SEEN[seen] else None
    reach = Reach(SEEN[seen].get("window"), SEEN[seen].get("chunk"), alibi=alibi)
    options = {"spans": spans, "kept": kept, "scale": 0.3, "causal": SEEN[seen].get("causal", True), "reach": reach}
    found = sdpa.attention(q, k, v, **options)
    expected = reference.attention(q, k, v, softcap=None, **options)
    assert found.shape == q.shape
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("case", CASES)
def test_the_fused_paths_equal_the_reference_beside_sinks(case: str, seen: str, dtype: torch.dtype) -> None:
    q, k, v, spans, kept = drawn(CASES[case], dtype=dtype, width=12)
    reach = Reach(SEEN[seen].get("window"), SEEN[seen].get("chunk"))
    causal, sinks = SEEN[seen].get("causal", True), torch.tensor([-3.0, -0.5, 0.0, 0.5, 1.0, 4.0], dtype=dtype)
    options = {"spans": spans, "kept": kept, "scale": 0.25, "causal": causal, "reach": reach, "sinks": sinks}
    found, expected = sdpa.attention(q, k, v, **options), reference.attention(q, k, v, softcap=None, **options)
    torch.testing.assert_close(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_the_share_of_a_sink_is_lost(softcap: float | None) -> None:
    """Of one row in sight with score s, the value counts e^s / (e^s + e^sink)."""
    q, k, v, spans, _ = drawn(Case((1,)))
    sinks = torch.linspace(-2, 3, 6)
    found = attention(q, k, v, spans=spans, scale=0.3, softcap=softcap, sinks=sinks)
    scores = 0.3 * (q * k.repeat_interleave(3, 1)).sum(-1)
    scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
    wanted = torch.sigmoid(scores - sinks)[..., None] * v.repeat_interleave(3, 1)
    torch.testing.assert_close(found, wanted)


def test_sinks_are_one_a_head() -> None:
    q, k, v, spans, _ = drawn(Case((4,)))
    with pytest.raises(KernelError, match=r"attention: sinks \(2,\) for 6 heads"):
        attention(q, k, v, spans=spans, scale=1.0, sinks=torch.zeros(2))


@pytest.mark.parametrize("kept", [False, True])
def test_values_may_be_of_another_width_than_keys(kept: bool) -> None:
    q, k, v, spans, cache = drawn(CASES["decodes, then chunks"])
    cache, narrow = (cache._replace(v=cache.v[..., :5]), v[..., :5]) if kept else (None, v[..., :5])
    spans = spans if kept else Spans.of(CASES["decodes, then chunks"].new)
    wide = cache and cache._replace(v=torch.nn.functional.pad(cache.v, (0, 3)))
    for sinks in (None, torch.linspace(-2, 3, 6)):
        found = attention(q, k, narrow, spans=spans, kept=cache, scale=0.3, sinks=sinks)
        padded = torch.nn.functional.pad(narrow, (0, 3))
        wanted = attention(q, k, padded, spans=spans, kept=wide, scale=0.3, sinks=sinks)
        torch.testing.assert_close(found, wanted[..., :5])


@pytest.mark.parametrize("seen", SEEN)
def test_rows_in_several_pages_are_those_of_one(seen: str) -> None:
    case = CASES["decodes, then chunks"]
    q, k, v, spans, kept = drawn(case)
    one = [torch.zeros(len(case.new), 2, 16, 8) for _ in "kv"]
    for i, table in enumerate(case.tables):
        for at in range(spans.lengths[i]):
            for to, source in zip(one, (kept.k, kept.v), strict=True):
                to[i, :, at] = source[table[at // case.page], :, at % case.page]
    alone = Kept(*one, tuple((number,) for number in range(len(case.new))))
    options = {"scale": 0.3} | SEEN[seen]
    for softcap in (None, 2.0):
        found, wanted = (
            attention(q, k, v, spans=Spans.of(case.new, case.past), kept=each, softcap=softcap, **options)
            for each in (kept, alone)
        )
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("seen", ["window", "window of one", "chunks", "a window in chunks"])
@pytest.mark.parametrize("case", [name for name in CASES if CASES[name].tables])
def test_pages_out_of_reach_are_not_looked_at(case: str, seen: str, softcap: float | None) -> None:
    """They may be anybody's by now: here they are not even numbers."""
    q, k, v, spans, kept = drawn(CASES[case])
    options = {"spans": spans, "scale": 0.3, "softcap": softcap} | SEEN[seen]
    before = attention(q, k, v, kept=kept, **options)
    reach, page = Reach(SEEN[seen].get("window"), SEEN[seen].get("chunk")), kept.k.shape[2]
    gone = [reach.start(past) // page for past in spans.past]
    other = len(kept.k) - 1
    kept.k[other], kept.v[other] = math.nan, math.nan
    tables = [[other] * count + [*table[count:]] for count, table in zip(gone, kept.tables, strict=True)]
    assert attention(q, k, v, kept=kept._replace(tables=tables), **options).equal(before)


@pytest.mark.parametrize(
    "reach",
    [
        *(Reach(window=300), Reach(chunk=300), Reach(window=40), Reach(chunk=37)),
        *(Reach(alibi=Alibi(6, "root")), Reach(300, alibi=Alibi(6, "linear"))),
    ],
)
def test_a_long_prompt_is_looked_at_in_pieces_as_at_once(reach: Reach) -> None:
    q, k, v, spans, _ = drawn(Case((900,)))
    options = {"spans": spans, "kept": None, "scale": 0.3, "causal": True, "reach": reach}
    found, expected = sdpa.attention(q, k, v, **options), reference.attention(q, k, v, softcap=None, **options)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert all(queries.stop - rows.start <= 3 * 300 for _, queries, rows, *_ in spans.memo)


def test_masks_for_each_head_are_of_few_rows_at_a_time_and_large_ones_are_not_kept() -> None:
    q, k, v, spans, _ = drawn(Case((1400,)), heads=2)
    reach = Reach(alibi=Alibi(2, "linear"))
    options = {"spans": spans, "kept": None, "scale": 0.3, "causal": True, "reach": reach}
    found, expected = sdpa.attention(q, k, v, **options), reference.attention(q, k, v, softcap=None, **options)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert all(len(queries) == 256 and rows.stop <= 1024 for _, queries, rows, *_ in spans.memo)
    assert len(spans.memo) == 4


@given(row=st.integers(0, 99), window=st.none() | st.integers(1, 120), chunk=st.none() | st.integers(1, 120))
def test_where_reach_starts_is_the_first_row_in_sight(row: int, window: int | None, chunk: int | None) -> None:
    reach = Reach(window, chunk)
    (seen,) = reference.in_sight(range(row, row + 1), range(100), causal=True, reach=reach)
    assert seen.nonzero().flatten().tolist() == [*range(reach.start(row), row + 1)]
    assert reach.rows is None or len(range(reach.start(row), row + 1)) <= reach.rows


def written_out(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float, window: int, softcap: float, temperature_length: int
) -> Tensor:
    """Causal attention with window, softcap and temperature of one sequence, a number at a time."""
    found = torch.zeros_like(q)
    for t in range(len(q)):
        for h in range(q.shape[1]):
            g = h // (q.shape[1] // k.shape[1])
            rows = range(max(0, t - window + 1), t + 1)
            scores = [softcap * math.tanh(float(q[t, h] @ k[s, g]) * scale / softcap) for s in rows]
            sharper = math.log(t, temperature_length) if t > temperature_length else 1.0
            weights = [math.exp(sharper * score) for score in scores]
            found[t, h] = sum(w / sum(weights) * v[s, g] for w, s in zip(weights, rows, strict=True))
    return found


def test_the_reference_is_a_softmax_over_the_rows_in_sight() -> None:
    q, k, v, spans, _ = drawn(Case((9,)))
    options: dict[str, Any] = {"scale": 0.3, "window": 4, "softcap": 1.5, "temperature_length": 3}
    torch.testing.assert_close(attention(q, k, v, spans=spans, **options), written_out(q, k, v, **options))


def test_scores_grow_with_the_position_without_a_softcap_too() -> None:
    q, k, v, spans, kept = drawn(Case((5, 1), (6, 30), page=32))
    found = attention(q, k, v, spans=spans, kept=kept, scale=0.3, temperature_length=8)
    sharper = torch.tensor([1.0, 1.0, 1.0, math.log(9, 8), math.log(10, 8), math.log(30, 8)])[:, None, None]
    torch.testing.assert_close(found, attention(q * sharper, k, v, spans=spans, kept=kept, scale=0.3))


def test_a_large_softcap_changes_nothing_and_a_small_one_does() -> None:
    q, k, v, spans, _ = drawn(Case((4, 9, 1)))
    plain, large, small = (attention(q, k, v, spans=spans, scale=1.0, softcap=c) for c in (None, 1e4, 1.0))
    torch.testing.assert_close(plain, large, rtol=1e-4, atol=1e-4)
    assert (plain - small).abs().max() > 1e-2


def test_sequences_do_not_see_each_other() -> None:
    q, k, v, spans, _ = drawn(Case((4, 9, 1)))
    found = attention(q, k, v, spans=spans, scale=0.3)
    for start, stop in zip(spans.bounds, spans.bounds[1:], strict=False):
        alone = attention(q[start:stop], k[start:stop], v[start:stop], spans=Spans.of([stop - start]), scale=0.3)
        torch.testing.assert_close(found[start:stop], alone)


def test_rows_past_the_length_of_a_sequence_do_not_matter() -> None:
    q, k, v, spans, kept = drawn(CASES["ragged decode"])
    before = attention(q, k, v, spans=spans, kept=kept, scale=0.3)
    for (page,), length in zip(kept.tables, spans.lengths, strict=True):
        kept.k[page, :, length:], kept.v[page, :, length:] = 50.0, -50.0
    assert attention(q, k, v, spans=spans, kept=kept, scale=0.3).equal(before)


def test_masks_are_made_once_a_step() -> None:
    q, k, v, spans, kept = drawn(CASES["ragged decode"])
    attention(q, k, v, spans=spans, kept=kept, scale=0.3)
    made = dict(spans.memo)
    attention(q, k, v, spans=spans, kept=kept, scale=0.3)
    assert made
    assert all(spans.memo[key] is item for key, item in made.items())


def test_no_sequences_are_no_rows() -> None:
    none = torch.zeros(0, 2, 8)
    assert attention(none, none, none, spans=Spans.of([]), scale=1.0).shape == (0, 2, 8)


def test_an_empty_sequence_between_others_has_no_rows() -> None:
    q, k, v, spans, _ = drawn(Case((4, 0, 3)))
    found = attention(q, k, v, spans=spans, scale=0.3)
    torch.testing.assert_close(found, attention(q, k, v, spans=Spans.of([4, 3]), scale=0.3))


def test_attention_runs_on_meta_tensors_and_passes_gradients() -> None:
    q, k, v, spans, _ = drawn(Case((4, 9, 1)))
    assert attention(q.to("meta"), k.to("meta"), v.to("meta"), spans=spans, scale=0.3).shape == q.shape
    attention(q.requires_grad_(), k, v, spans=spans, scale=0.3).sum().backward()
    assert q.grad is not None


@pytest.mark.parametrize(
    "shapes",
    [
        ((3, 4, 8), (3, 3, 8), (3, 3, 8)),
        ((3, 4, 8), (3, 2, 9), (3, 2, 8)),
        ((3, 4, 8), (3, 2, 8), (3, 1, 8)),
        ((4, 4, 8), (4, 2, 8), (4, 2, 8)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(KernelError, match=r"attention: q \(. 4, 8\), k .* over 3 rows".replace(". ", r"\d, ")):
        attention(*(torch.zeros(shape) for shape in shapes), spans=Spans.of([3]), scale=1.0)
