"""What is drawn in one step, and as one tensor of numbers, which goes to processes that have no logits."""

# B requests of a step, N of them that ask for logprobs, K likeliest tokens

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from triptych.errors import TriptychError
from triptych.runner.logprobs import Logprobs, TokenLogprob
from triptych.runner.tops import Tops


@dataclass(frozen=True)
class Drawn:
    """The token of each request, [B], int64, on the device of the logits, and logprobs for those that ask.

    `counts` says of each how many of the likeliest its logprobs have; None where it asks for none. `tops` tells from
    which logits no token could be drawn, `refused` by row what failed before. Where either is so, the token is one of
    the vocabulary, and means nothing.
    """

    token_ids: Tensor
    counts: tuple[int | None, ...]
    asked: Logprobs | None = None
    tops: Tops | None = None
    refused: Mapping[int, TriptychError] = field(default_factory=dict)

    def on_host(self) -> Drawn:
        """The same in the host's memory. What an accelerator has is there some time later."""
        tops = self.tops and Tops(_on_host(self.tops.values_B), self.tops.dtype)
        asked = self.asked and Logprobs(
            _on_host(self.asked.ids_N),
            _on_host(self.asked.own_N),
            _on_host(self.asked.likeliest_NK),
            _on_host(self.asked.logprobs_NK),
        )
        return Drawn(_on_host(self.token_ids), self.counts, asked, tops, self.refused)

    def failures(self) -> dict[int, TriptychError]:
        """Who draws nothing, by row, and why; waits for the device."""
        return {**(self.tops.failures() if self.tops else {}), **self.refused}

    def logprobs(self) -> list[TokenLogprob | None]:
        """Of each request, None where it does not ask; waits for the device."""
        found = self.asked.listed([n for n in self.counts if n is not None]) if self.asked else iter(())
        return [None if count is None else next(found) for count in self.counts]


def _on_host(values: Tensor) -> Tensor:
    return values.to("cpu", non_blocking=True)  # into pinned memory, so that nobody waits for it


def packed(drawn: Drawn) -> Tensor:
    """All of it, int64 [B + N (1 + 2 K)]: the tokens, then ids and logprobs, which are float32, by their bits.

    Raises the first failure: who hears of numbers alone cannot tell for whom they mean nothing.
    """
    for error in drawn.failures().values():
        raise error
    if drawn.asked is None:
        return drawn.token_ids
    logprobs_NL = torch.cat([drawn.asked.own_N[:, None], drawn.asked.logprobs_NK], -1)
    rows = torch.cat([drawn.asked.likeliest_NK, logprobs_NL.view(torch.int32).long()], -1)
    return torch.cat([drawn.token_ids, rows.flatten()])


def unpacked(packed: Tensor, counts: Sequence[int | None]) -> Drawn:
    """What was packed, of requests that ask for so many logprobs each."""
    tokens_B, rest = packed[: len(counts)], packed[len(counts) :]
    asking = [row for row, count in enumerate(counts) if count is not None]
    if not asking:
        return Drawn(tokens_B, tuple(counts))
    rows = rest.view(len(asking), -1)
    ids_NK, bits_NL = rows[:, : rows.shape[1] // 2], rows[:, rows.shape[1] // 2 :]
    logprobs_NL = bits_NL.int().contiguous().view(torch.float32)
    asked = Logprobs(tokens_B[torch.tensor(asking)], logprobs_NL[:, 0], ids_NK, logprobs_NL[:, 1:])
    return Drawn(tokens_B, tuple(counts), asked)
