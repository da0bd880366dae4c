"""Which tokens may be drawn: the likeliest by number, by the share that they make up, by their share of the first.

The rules, and their order, are those of transformers' TopKLogitsWarper, TopPLogitsWarper and MinPLogitsWarper, except
that of tokens as likely as the last one that stays, all stay. No row is sorted: the few likeliest tell where to cut.
"""

# B rows, V vocabulary, K likeliest of them

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.runner.blocks import highest, passed, sums

FIRST = (128, 2048)  # how many of the likeliest are looked at, then how many more, then all


@dataclass(frozen=True)
class Limits:
    """What rows are limited to, each [B, 1]: top_k (int64, up to V; 0 for all), top_p (1 for all), min_p (0 for all).

    `shares`: whether some row asks for a share of all its tokens.
    """

    top_k: Tensor
    top_p: Tensor
    min_p: Tensor
    shares: bool

    def of(self, rows: Tensor) -> Limits:
        """Those of some rows."""
        return Limits(self.top_k[rows], self.top_p[rows], self.min_p[rows], self.shares)


def filtered(logits_BV: Tensor, limits: Limits) -> Tensor:
    """Logits [B, V], float32, with -inf for the tokens that are left out."""
    found_BV = torch.full_like(logits_BV, -torch.inf)
    for rows_R, weights_RK, places_RK in kept(logits_BV, limits):
        logits_RK = logits_BV[rows_R].gather(1, places_RK).masked_fill(weights_RK == 0, -torch.inf)
        found_BV[rows_R] = torch.full_like(found_BV[rows_R], -torch.inf).scatter(1, places_RK, logits_RK)
    return found_BV


def drawn(logits_BV: Tensor, limits: Limits, uniform_B: Tensor) -> Tensor:
    """The token [B] of each row, of those that stay, at which their running sum passes a share of the whole.

    They stand in the order of the vocabulary, so that the token depends on the row alone.
    """
    found_B = torch.empty(len(logits_BV), dtype=torch.int64, device=logits_BV.device)
    for rows_R, weights_RK, places_RK in kept(logits_BV, limits):
        sorted_RK, order_RK = places_RK.sort(-1)
        place_R1, _ = passed(weights_RK.gather(1, order_RK), uniform_B[rows_R, None])
        found_B[rows_R] = sorted_RK.gather(1, place_R1)[:, 0]
    return found_B


def kept(logits_BV: Tensor, limits: Limits) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Some rows at a time: their numbers [R], weights [R, K], 0 for what is left out, and the places of these."""
    rows_R = torch.arange(len(logits_BV), device=logits_BV.device)
    first_B1 = highest(logits_BV)
    whole_B1 = sums((logits_BV - first_B1).exp_()) if limits.shares else torch.ones_like(first_B1)
    for count in (*FIRST, logits_BV.shape[-1]):
        all_of_it = count >= logits_BV.shape[-1]
        values_RK, places_RK = logits_BV[rows_R].topk(min(count, logits_BV.shape[-1]))
        weights_RK = (values_RK - values_RK[:, :1]).exp_()
        floor_R1 = _floor(values_RK, weights_RK, limits.of(rows_R), whole_B1[rows_R])
        weights_RK = weights_RK * (values_RK >= floor_R1)
        done_R = values_RK[:, -1] < floor_R1[:, 0]  # then none beyond these stays
        if all_of_it or bool(done_R.all()):
            yield rows_R, weights_RK, places_RK
            return
        yield rows_R[done_R], weights_RK[done_R], places_RK[done_R]
        rows_R = rows_R[~done_R]


def _floor(values_RK: Tensor, weights_RK: Tensor, limits: Limits, whole_R1: Tensor) -> Tensor:
    """The lowest logit that stays, [R, 1], by the K likeliest, the first of weight 1; -inf where these do not tell."""
    told_R1 = limits.top_k <= values_RK.shape[-1]
    by_k_R1 = _at(values_RK, limits.top_k, told_R1 & (limits.top_k > 0))
    weights_RK = weights_RK * (values_RK >= by_k_R1)
    sums_RK = weights_RK.cumsum(-1, dtype=torch.float64)
    share_R1 = limits.top_p * torch.where(limits.top_k > 0, sums_RK[:, -1:], whole_R1)
    short_RK = sums_RK - weights_RK < share_R1  # what stands before it does not make up the share
    by_p_R1 = _at(values_RK, short_RK.sum(-1, keepdim=True), limits.top_p < 1)
    by_min_R1 = _at(values_RK, (weights_RK >= limits.min_p).sum(-1, keepdim=True), limits.min_p > 0)
    return by_k_R1.maximum(by_p_R1).maximum(by_min_R1).where(told_R1, -torch.inf)


def _at(values_RK: Tensor, number_R1: Tensor, where_R1: Tensor) -> Tensor:
    """The value of this number, from 1 on, in each row; -inf for the others."""
    place_R1 = (number_R1 - 1).clamp(0, values_RK.shape[-1] - 1)
    return values_RK.gather(1, place_R1).where(where_R1, -torch.inf)
