"""What is drawn goes to other processes as numbers, and is the same there to the last bit."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from triptych.runner.drawn import Drawn, packed, unpacked
from triptych.runner.logprobs import Logprobs

VOCAB = 11


@given(counts=st.lists(st.none() | st.integers(0, VOCAB), min_size=1, max_size=6), seed=st.integers(0, 2**31))
def test_what_was_packed_is_unpacked_as_it_was(counts: list[int | None], seed: int) -> None:
    torch.manual_seed(seed)
    tokens_B = torch.randint(0, VOCAB, (len(counts),))
    asking = [row for row, count in enumerate(counts) if count is not None]
    asked = None
    if asking:
        most = max(count for count in counts if count is not None)
        asked = Logprobs.of(torch.randn(len(asking), VOCAB) * 9, tokens_B[asking], likeliest=most)
    drawn = Drawn(tokens_B, tuple(counts), asked)
    numbers = packed(drawn)
    assert numbers.dtype == torch.int64
    assert numbers.ndim == 1
    found = unpacked(numbers, counts)
    assert torch.equal(found.token_ids, tokens_B)
    assert found.logprobs() == drawn.logprobs()
    assert [each is not None for each in found.logprobs()] == [count is not None for count in counts]
