"""What may be drawn is what transformers' processors leave: the same tokens, with the same chances."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.kernels.limited import (
    SEEDS,
    VOCABS,
    filtered,
    is_on_the_edge,
    limits_of,
    random_logits,
    relaxed,
    warm,
    warped,
)


@relaxed
@given(st.lists(warm(), min_size=1, max_size=4), VOCABS, SEEDS, st.sampled_from([0.01, 1.0, 4.0]))
def test_limits_leave_the_tokens_and_chances_that_transformers_leaves(
    asked: list[dict[str, Any]], vocab: int, seed: int, spread: float
) -> None:
    logits = random_logits(seed, len(asked), vocab, spread=spread)
    assume(not any(is_on_the_edge(row, **each) for row, each in zip(logits, asked, strict=True)))
    assume(all(len(row.unique()) == vocab for row in logits))
    found = filtered(logits, limits_of(asked, vocab))
    for row, logits_V, each in zip(found, logits, asked, strict=True):
        wanted = warped(logits_V, **each)
        assert torch.equal(row.softmax(-1) > 0, wanted.softmax(-1) > 0)
        torch.testing.assert_close(row.softmax(-1), wanted.softmax(-1), rtol=1e-5, atol=0)


@relaxed
@given(warm(), VOCABS, SEEDS, st.integers(2, 5))
def test_tokens_that_are_as_likely_stay_or_go_together(
    asked: dict[str, Any], vocab: int, seed: int, levels: int
) -> None:
    logits = random_logits(seed, 1, vocab).mul(levels).round()
    found = filtered(logits, limits_of([asked], vocab))[0]
    left, gone = set(logits[0][found > -torch.inf].tolist()), set(logits[0][found == -torch.inf].tolist())
    assert left
    assert not left & gone
    assert all(value > max(gone, default=-torch.inf) for value in left)
    assert torch.equal(found[found > -torch.inf], logits[0][found > -torch.inf])


def test_top_k_keeps_all_that_are_as_likely_as_the_last_like_transformers() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, 2.0, 2.0, 0.0]])
    found = filtered(logits, limits_of([{"temperature": 1.0, "top_k": 2}], 6))[0]
    assert torch.equal(found, warped(logits[0], top_k=2))
    assert found.isfinite().tolist() == [False, True, True, True, True, False]


@relaxed
@given(st.lists(warm(), min_size=2, max_size=5), VOCABS, SEEDS)
def test_a_row_is_limited_alike_beside_others(asked: list[dict[str, Any]], vocab: int, seed: int) -> None:
    logits = random_logits(seed, len(asked), vocab)
    together = filtered(logits, limits_of(asked, vocab))
    for row, each in enumerate(asked):
        assert torch.equal(filtered(logits[row, None], limits_of([each], vocab))[0], together[row])
