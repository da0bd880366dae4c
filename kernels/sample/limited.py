"""Which tokens may be drawn: the likeliest by number, by the share that they make up, by their share of the first.

The rules, and their order, are those of transformers' TopKLogitsWarper, TopPLogitsWarper and MinPLogitsWarper, except
that of tokens as likely as the last one that stays, all stay. The few likeliest tell where to cut; a whole row is
sorted only where its chances are nearly even.
"""

# B rows, R of them, V vocabulary, K likeliest

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from triptych.kernels.sample.blocks import sums

if TYPE_CHECKING:
    from triptych.kernels.sample import Limits

RUNGS = (128, 768, 8192)  # how many of the likeliest are looked at, until they tell; then all are sorted
NO_SHARE = 2.0  # more than all there is


def kept(
    logits_BV: Tensor, top_B: Tensor, temperature_B: Tensor, limits: Limits
) -> Iterator[tuple[Tensor | slice, Tensor, Tensor]]:
    """Some rows at a time: which, their weights [R, K], 0 for what is left out, and the places of these, [R, K].

    `top_B`: the largest logit of each. Where a row has logits that are no numbers, any of its places may weigh.
    """
    rows: Tensor | slice = slice(None)
    left, vocab = _Left.of(logits_BV, top_B[:, None], temperature_B[:, None], limits), logits_BV.shape[1]
    count = _rung(max((k for k in limits.top_k.tolist() if k < vocab), default=0) + 1, vocab)
    while True:
        values_RK, places_RK = left.likeliest(count)
        weights_RK = weighed(values_RK, left.top, left.temperature)
        floor_R1 = left.floor(values_RK, weights_RK)
        done_R = ((values_RK[:, -1:] < floor_R1) | (weights_RK[:, -1:] == 0))[:, 0]  # then none beyond these stays
        weights_RK *= values_RK >= floor_R1
        if count == vocab or bool(done_R.all()):
            yield rows, weights_RK, places_RK
            return
        numbers_R = torch.arange(len(logits_BV), device=logits_BV.device)[rows]
        yield numbers_R[done_R], weights_RK[done_R], places_RK[done_R]
        count = _rung(max(count + 1, count * left.times(weights_RK, ~done_R)), vocab)
        rows, left = numbers_R[~done_R], left.at(~done_R)


def weighed(values_BK: Tensor, top_B1: Tensor, temperature_B1: Tensor) -> Tensor:
    """What tokens with these logits weigh, in float32; the likeliest 1, so that the coldest overflows nothing."""
    return (values_BK.float() - top_B1.float()).div_(temperature_B1).exp_()


@dataclass(frozen=True)
class _Left:
    """Rows that are not done: their logits [R, V], and of each [R, 1]; None where no row is limited so.

    `last`: the number of the last of the top_k likeliest, from 0. `share`: top_p, NO_SHARE for a row without. `whole`:
    the weight of all tokens, 0 where it is a share of the top_k. `ratio`: min_p.
    """

    logits: Tensor
    top: Tensor
    temperature: Tensor
    last: Tensor | None
    share: Tensor | None
    whole: Tensor | None
    ratio: Tensor | None

    @classmethod
    def of(cls, logits_BV: Tensor, top_B1: Tensor, temperature_B1: Tensor, limits: Limits) -> _Left:
        vocab = logits_BV.shape[1]
        top_k, top_p, min_p = (each.tolist() for each in limits)  # a few numbers, of which to ask costs less so
        top_k_B1, top_p_B1, min_p_B1 = (each[:, None] for each in limits)
        whole_B1 = None
        if any(p < 1 and k >= vocab for k, p in zip(top_k, top_p, strict=True)):
            whole_B1 = sums(weighed(logits_BV, top_B1, temperature_B1)).where(top_k_B1 >= vocab, 0)
        return cls(
            logits=logits_BV,
            top=top_B1,
            temperature=temperature_B1,
            last=top_k_B1.long().clamp(1, vocab) - 1 if min(top_k) < vocab else None,
            share=top_p_B1.where(top_p_B1 < 1, NO_SHARE) if min(top_p) < 1 else None,
            whole=whole_B1,
            ratio=min_p_B1 if max(min_p) > 0 else None,
        )

    def at(self, rows_R: Tensor) -> _Left:
        logits, top, temperature = (each[rows_R] for each in (self.logits, self.top, self.temperature))
        last, share, whole, ratio = (
            each if each is None else each[rows_R] for each in (self.last, self.share, self.whole, self.ratio)
        )
        return _Left(logits, top, temperature, last, share, whole, ratio)

    def likeliest(self, count: int) -> tuple[Tensor, Tensor]:
        """So many logits, and their places, the likeliest first."""
        if count < self.logits.shape[1]:
            return self.logits.topk(count)
        return self.logits.sort(-1, descending=True)

    def floor(self, values_RK: Tensor, weights_RK: Tensor) -> Tensor:
        """The lowest logit that stays, [R, 1]; the last of these where they do not tell."""
        floor_R1 = values_RK[:, -1:]
        if self.last is not None:
            floor_R1 = values_RK.gather(1, self.last.clamp(max=values_RK.shape[1] - 1))
            weights_RK = weights_RK * (values_RK >= floor_R1)
        if self.share is not None:
            sums_RK = weights_RK.cumsum(-1, dtype=torch.float64)
            wanted_R1 = self.share * self._total(sums_RK[:, -1:])
            are_short_RK = sums_RK - weights_RK < wanted_R1  # those before do not make it up
            floor_R1 = floor_R1.maximum(_last_of(values_RK, are_short_RK))
        if self.ratio is not None:
            floor_R1 = floor_R1.maximum(_last_of(values_RK, weights_RK >= self.ratio))
        return floor_R1

    def times(self, weights_RK: Tensor, rows_R: Tensor) -> float:
        """How many times what these weigh is wanted, by the row that wants most of it.

        As each token beyond weighs no more than the last, so many times as many tokens are needed at the least.
        """
        if self.share is None:
            return 1.0
        total_R1 = weights_RK.sum(-1, keepdim=True)
        share_R1 = self.share.clamp(max=1) * self._total(total_R1)
        return float((share_R1 / total_R1)[rows_R].max())

    def _total(self, found_R1: Tensor) -> Tensor:
        """What the share is one of: all tokens, or the top_k, which these hold."""
        return found_R1 if self.whole is None else torch.where(self.whole > 0, self.whole, found_R1)


def _last_of(values_RK: Tensor, are_RK: Tensor) -> Tensor:
    """The value [R, 1] of the last that is so, of those that are so in front; the first where none is."""
    return values_RK.gather(1, (are_RK.sum(-1, keepdim=True) - 1).clamp(min=0))


def _rung(least: float, vocab: int) -> int:
    """How many of the likeliest to look at, when so many are needed at the least."""
    return next((rung for rung in RUNGS if least <= rung < vocab), vocab)
