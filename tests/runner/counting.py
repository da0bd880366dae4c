"""A model whose next token is plain arithmetic over all that was read, so that a wrong slot or row shows at once.

It remembers its tokens in a real cache, as key and value rows, and reads them back through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from triptych.parts.cache_needs import Rows
from triptych.parts.step import Step

VOCAB = 97


def expected(prompt: Sequence[int], count: int) -> list[int]:
    """What the model answers, by the rule alone: 3 times the sum of all before, plus their number."""
    ids = [*prompt]
    for _ in range(count):
        ids.append((3 * sum(ids) + len(ids)) % VOCAB)
    return ids[len(prompt) :]


class Counting(nn.Module):
    """`flat` gives every token the same logit, for tests of drawing."""

    def __init__(self, *, context: int | None = None, flat: bool = False, layers: int = 2) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()), requires_grad=False)
        self.context, self.flat, self.layers = context, flat, layers
        self.vocab_size = VOCAB
        self.calls: list[tuple[int, ...]] = []  # new rows of each sequence, call by call
        self.heads: list[int] = []  # rows that went through the head

    def cache_needs(self) -> dict[str, Rows]:
        return {f"layers.{n}": Rows(1, (1, 1)) for n in range(self.layers)}

    def embed_input_ids(self, input_ids: Tensor, *_: Any, **__: Any) -> Tensor:
        return input_ids[:, None].double()

    def embed_multimodal(self, **_: Any) -> list[Tensor]:
        raise AssertionError("there are no images here")

    def forward(self, ids: Tensor, positions: Tensor, *, step: Step, inputs_embeds: Tensor | None = None) -> Tensor:
        """Hidden rows [T, 2]: the sum of a sequence up to each row, by the last layer, and how many that are."""
        assert inputs_embeds is None
        self.calls.append(step.spans.new)
        rows = ids[:, None, None].to(self.one.dtype)
        for key in self.cache_needs():
            kept = step.store(key, rows, positions[:, None, None].to(self.one.dtype))
        assert kept is not None
        found = []
        for number, past in enumerate(step.spans.past):
            length = step.lengths[number]
            k, v = kept.of(number, length)
            assert v[0, :, 0].tolist() == list(range(length))
            sums = k[0, :, 0].cumsum(0)
            counts = torch.arange(1, length + 1, dtype=sums.dtype)
            found.append(torch.stack([sums, counts], -1)[past:])
        return torch.cat(found)

    def compute_logits(self, hidden: Tensor) -> Tensor:
        self.heads.append(len(hidden))
        if self.flat:
            return torch.zeros(len(hidden), VOCAB)
        token = (3 * hidden[:, 0] + hidden[:, 1]).long() % VOCAB
        return torch.nn.functional.one_hot(token, VOCAB).float()
