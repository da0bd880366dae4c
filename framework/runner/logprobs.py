"""Logarithms of the chances that a model itself gives: of a token, and of the likeliest in its place."""

# N rows of logits, V vocabulary, K likeliest, D width

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.inputs.prompt import Prompt

CHUNK_BYTES = 2**25  # of float32 logits that are there at a time while a prompt is scored


@dataclass(frozen=True)
class TokenLogprob:
    """A token's logprob (natural), and those of the likeliest tokens in its place by their ids, the likeliest first."""

    token_id: int
    logprob: float
    likeliest: dict[int, float]


@dataclass(frozen=True)
class Logprobs:
    """Of N tokens: their own [N], and the ids and logprobs of the K likeliest, each [N, K], likeliest first."""

    ids_N: Tensor
    own_N: Tensor
    likeliest_NK: Tensor
    logprobs_NK: Tensor

    @classmethod
    def of(cls, logits_NV: Tensor, ids_N: Tensor, *, likeliest: int) -> Logprobs:
        """Those of tokens whose places have these logits."""
        logprobs_NV = logits_NV.float().log_softmax(-1)
        own_N = logprobs_NV.gather(1, ids_N[:, None])[:, 0]
        found = logprobs_NV.topk(min(likeliest, logprobs_NV.shape[-1]))
        return cls(ids_N, own_N, found.indices, found.values)

    def listed(self, counts: Sequence[int]) -> Iterator[TokenLogprob]:
        """Each as plain numbers, with as many of the likeliest as are asked for it."""
        rows = (each.tolist() for each in (self.ids_N, self.own_N, self.likeliest_NK, self.logprobs_NK))
        for count, token, own, ids, values in zip(counts, *rows, strict=True):
            yield TokenLogprob(token, own, dict(zip(ids[:count], values[:count], strict=True)))


PromptLogprobs = tuple[TokenLogprob | None, ...]


def score_prompt(
    head: Callable[[Tensor], Tensor], prompt: Prompt, hidden_TD: Tensor, *, likeliest: int, vocab_size: int
) -> PromptLogprobs:
    """The logprobs of the tokens of a prompt after its first, None where one stands for a row of an item.

    `hidden_TD` are its rows, of which `head` makes logits.
    """
    places = [place for place, is_item in enumerate(prompt.item_rows()) if place and not is_item]
    before_N = torch.tensor([place - 1 for place in places], dtype=torch.int64, device=hidden_TD.device)
    ids = [prompt.token_ids[place] for place in places]
    scored = score(head, hidden_TD[before_N], ids, likeliest=likeliest, vocab_size=vocab_size)
    found = dict(zip(places, scored, strict=True))
    return tuple(found.get(place) for place in range(1, len(prompt.token_ids)))


def score(
    head: Callable[[Tensor], Tensor], hidden_ND: Tensor, ids: Sequence[int], *, likeliest: int, vocab_size: int
) -> Iterator[TokenLogprob]:
    """The logprobs of tokens by the rows before them, of which `head` makes logits: some rows at a time.

    The logits of a whole prompt would take more memory than its cache.
    """
    count = max(1, CHUNK_BYTES // (4 * vocab_size))
    ids_N = torch.tensor(ids, dtype=torch.int64, device=hidden_ND.device)
    for start in range(0, len(ids), count):
        part_N = ids_N[start : start + count]
        logprobs = Logprobs.of(head(hidden_ND[start : start + count]), part_N, likeliest=likeliest)
        yield from logprobs.listed([likeliest] * len(part_N))
