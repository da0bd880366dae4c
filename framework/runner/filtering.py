"""Which tokens may be drawn: the likeliest by number, by the share that they make up, by their share of the first.

The rules, and their order, are those of transformers' TopKLogitsWarper, TopPLogitsWarper and MinPLogitsWarper, except
that of tokens as likely as the last one that stays, all stay. The few likeliest tell where to cut; a whole row is
sorted only where its chances are nearly even.
"""

# B rows, R of them, V vocabulary, K likeliest

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.runner.blocks import passed, sums

RUNGS = (128, 768, 8192)  # how many of the likeliest are looked at, until they tell; then all are sorted
NO_SHARE = 2.0  # more than all there is
LEAST_SHARE = 1e-30


@dataclass(frozen=True)
class Limits:
    """What rows are limited to, each [B, 1]; None where no row is.

    `last`: the number of the last of the top_k likeliest, from 0, and that of the last token for a row without.
    `share`: top_p, NO_SHARE for a row without. `ratio`: min_p, 0 for a row without. `of_all`: which rows ask for a
    share of all tokens. `most`: the largest top_k.
    """

    last: Tensor | None
    share: Tensor | None
    ratio: Tensor | None
    of_all: Tensor | None
    most: int

    def at(self, rows_R: Tensor) -> Limits:
        """Those of some rows."""
        last, share, ratio, of_all = (
            each if each is None else each[rows_R] for each in (self.last, self.share, self.ratio, self.of_all)
        )
        return Limits(last, share, ratio, of_all, self.most)


def filtered(logits_BV: Tensor, limits: Limits) -> Tensor:
    """Logits [B, V], float32, with -inf for the tokens that are left out."""
    found_BV = torch.full_like(logits_BV, -torch.inf)
    for rows_R, weights_RK, places_RK in kept(logits_BV, limits):
        logits_RV = logits_BV[rows_R]
        stay_RK = logits_RV.gather(1, places_RK).masked_fill(weights_RK == 0, -torch.inf)
        found_BV[rows_R] = torch.full_like(logits_RV, -torch.inf).scatter(1, places_RK, stay_RK)
    return found_BV


def drawn(logits_BV: Tensor, limits: Limits, uniform_B1: Tensor) -> Tensor:
    """The token [B] of each row, of those that stay, at which their running sum passes a share of the whole.

    They stand in the order of the vocabulary, so that the token depends on the row alone.
    """
    found_B = torch.empty(len(logits_BV), dtype=torch.int64, device=logits_BV.device)
    for rows_R, weights_RK, places_RK in kept(logits_BV, limits):
        sorted_RK, order_RK = places_RK.sort(-1)
        sums_RK = weights_RK.gather(1, order_RK).cumsum(-1, dtype=torch.float64)
        found_B[rows_R] = sorted_RK.gather(1, passed(sums_RK, uniform_B1[rows_R]))[:, 0]
    return found_B


def kept(logits_BV: Tensor, limits: Limits) -> Iterator[tuple[Tensor | slice, Tensor, Tensor]]:
    """Some rows at a time: which, their weights [R, K], 0 for what is left out, and the places of these, [R, K]."""
    rows: Tensor | slice = slice(None)
    left = _Left(logits_BV, limits, _whole(logits_BV) if limits.of_all is not None else None)
    count = _rung(limits.most + 1, vocab := logits_BV.shape[-1])
    while True:
        values_RK, places_RK = left.likeliest(count)
        weights_RK = (values_RK - values_RK[:, :1]).exp_()
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


@dataclass(frozen=True)
class _Left:
    """Rows that are not done: their logits [R, V], their limits, and the weight of all their tokens, if it tells."""

    logits_RV: Tensor
    limits: Limits
    whole_R1: Tensor | None

    def at(self, rows_R: Tensor) -> _Left:
        whole_R1 = None if self.whole_R1 is None else self.whole_R1[rows_R]
        return _Left(self.logits_RV[rows_R], self.limits.at(rows_R), whole_R1)

    def likeliest(self, count: int) -> tuple[Tensor, Tensor]:
        """So many logits, and their places, the likeliest first."""
        if count < self.logits_RV.shape[-1]:
            return self.logits_RV.topk(count)
        return self.logits_RV.sort(-1, descending=True)

    def floor(self, values_RK: Tensor, weights_RK: Tensor) -> Tensor:
        """The lowest logit that stays, [R, 1]; the last of these where they do not tell."""
        limits, floor_R1 = self.limits, values_RK[:, -1:]
        if limits.last is not None:
            floor_R1 = values_RK.gather(1, limits.last.clamp(max=values_RK.shape[-1] - 1))
            weights_RK = weights_RK * (values_RK >= floor_R1)
        if limits.share is not None:
            sums_RK = weights_RK.cumsum(-1, dtype=torch.float64)
            short_RK = sums_RK - weights_RK < self._wanted(sums_RK[:, -1:])  # those before do not make up the share
            floor_R1 = floor_R1.maximum(values_RK.gather(1, short_RK.sum(-1, keepdim=True) - 1))
        if limits.ratio is not None:
            floor_R1 = floor_R1.maximum(values_RK.gather(1, (weights_RK >= limits.ratio).sum(-1, keepdim=True) - 1))
        return floor_R1

    def times(self, weights_RK: Tensor, rows_R: Tensor) -> float:
        """How many times what these weigh is wanted, by the row that wants most of it.

        As each token beyond weighs no more than the last, so many times as many tokens are needed at the least.
        """
        if self.limits.share is None:
            return 1.0
        total_R1 = weights_RK.sum(-1, keepdim=True)
        share_R1 = self._wanted(total_R1) / self.limits.share * self.limits.share.clamp(max=1)
        return float((share_R1 / total_R1)[rows_R].max())

    def _wanted(self, total_R1: Tensor) -> Tensor:
        """The share of each row: of all its tokens, or of the top_k, which these hold."""
        assert self.limits.share is not None, "some row asks for a share"
        if self.limits.of_all is None or self.whole_R1 is None:
            return self.limits.share * total_R1
        return self.limits.share * torch.where(self.limits.of_all, self.whole_R1, total_R1)


def _whole(logits_BV: Tensor) -> Tensor:
    """The weight of all tokens of a row, the likeliest of which weighs 1: [B, 1]."""
    return sums((logits_BV - logits_BV.amax(-1, keepdim=True)).exp_())


def _rung(least: float, vocab: int) -> int:
    """How many of the likeliest to look at, when so many are needed at the least."""
    return next((rung for rung in RUNGS if least <= rung < vocab), vocab)
