"""The fused path against the reference, and the reference against a softmax written out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.attention import Kept, Spans
from triptych.kernels.cross_attention import cross_attention, reference

PAGE, KEY, VALUE = 7, 4, 6
ROWS = st.tuples(st.integers(1, 3), st.integers(1, PAGE))  # new rows of a sequence, and rows beside it


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def kept_in(pages: list[int], *, heads: int = 2) -> Kept:
    """What stands past the rows of a sequence is no number: nobody may look there."""
    count = max(pages) + 1
    return Kept(drawn(count, heads, PAGE, KEY), drawn(count, heads, PAGE, VALUE, seed=1), [(page,) for page in pages])


def without_others(kept: Kept, lengths: list[int]) -> Kept:
    for rows in (kept.k, kept.v):
        for (page,), length in zip(kept.tables, lengths, strict=True):
            rows[page, :, length:] = float("nan")
    return kept


@settings(deadline=None)
@given(sequences=st.lists(ROWS, min_size=1, max_size=5), heads=st.sampled_from([2, 4, 6]), data=st.data())
def test_the_fused_path_equals_the_reference(sequences: list[tuple[int, int]], heads: int, data: st.DataObject) -> None:
    new, lengths = [new for new, _ in sequences], [length for _, length in sequences]
    pages = data.draw(st.lists(st.integers(0, 9), min_size=len(new), max_size=len(new), unique=True))
    kept, spans, q = without_others(kept_in(pages), lengths), Spans.of(new), drawn(sum(new), heads, KEY, seed=2)
    wanted = reference.cross_attention(q, kept, lengths=lengths, spans=spans, scale=0.3)
    torch.testing.assert_close(cross_attention(q, kept, lengths=lengths, spans=spans, scale=0.3), wanted)


def test_runs_of_sequences_that_are_alike_equal_the_reference() -> None:
    new, lengths, pages = [1, 1, 2, 2, 2, 1, 1], [7, 7, 3, 3, 5, 7, 7], [6, 0, 3, 4, 5, 1, 2]
    kept, spans, q = without_others(kept_in(pages), lengths), Spans.of(new), drawn(sum(new), 4, KEY, seed=2)
    wanted = reference.cross_attention(q, kept, lengths=lengths, spans=spans, scale=0.3)
    torch.testing.assert_close(cross_attention(q, kept, lengths=lengths, spans=spans, scale=0.3), wanted)


@pytest.mark.parametrize("past", [None, [5, 0, 2]])
def test_a_row_sees_all_rows_beside_its_sequence_wherever_it_stands(past: list[int] | None) -> None:
    kept, q, new, lengths = kept_in([3, 0, 1]), drawn(5, 2, KEY, seed=2), [1, 3, 1], [7, 2, 5]
    found = cross_attention(q, kept, lengths=lengths, spans=Spans.of(new, past), scale=0.5)
    row = 0
    for i, count in enumerate(new):
        k, v = kept.k[kept.tables[i][0], :, : lengths[i]], kept.v[kept.tables[i][0], :, : lengths[i]]
        for _ in range(count):
            weights = torch.stack([(k[h] @ q[row, h] * 0.5).softmax(0) for h in range(2)])
            torch.testing.assert_close(found[row], torch.einsum("hs,hsv->hv", weights, v))
            row += 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close_to_the_reference(dtype: torch.dtype) -> None:
    kept, q = kept_in([0, 1]), drawn(4, 2, KEY, seed=2)
    wanted = reference.cross_attention(q, kept, lengths=[7, 7], spans=Spans.of([2, 2]), scale=0.5)
    half = Kept(kept.k.to(dtype), kept.v.to(dtype), kept.tables)
    found = cross_attention(q.to(dtype), half, lengths=[7, 7], spans=Spans.of([2, 2]), scale=0.5)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), wanted, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    ("shape", "lengths"),
    [
        ((4, 3, KEY), [2, 2]),
        ((4, 2, KEY + 1), [2, 2]),
        ((5, 2, KEY), [2, 2]),
        ((4, 2, KEY), [2]),
        ((4, 2, KEY), [2, 8]),
    ],
)
def test_shapes_that_do_not_fit_are_told(shape: tuple[int, ...], lengths: list[int]) -> None:
    with pytest.raises(KernelError, match=r"cross_attention: q .*, k \(2, 2, 7, 4\), v .* over 4 rows"):
        cross_attention(drawn(*shape), kept_in([0, 1]), lengths=lengths, spans=Spans.of([2, 2]), scale=1.0)
