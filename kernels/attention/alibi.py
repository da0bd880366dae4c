"""ALiBi: scores fall with the distance of the row that is looked at, for each head at a slope of its own.

Press et al. 2021, arXiv 2108.12409.
"""
# T query rows, S rows in sight of them, H heads, L queries of one row each

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

AlibiKind = Literal["linear", "root", "scaled"]


class Alibi(NamedTuple):
    """What is added to the scores of so many `heads`: - slope * distance, or - slope * distance ** 0.5 of the `root`.

    `scaled`, as Falcon has it: slope * position of the row looked at, in bfloat16, times `scale` like all of the score.
    For a softmax that is the first, but for the rounding.
    """

    heads: int
    kind: AlibiKind
    scale: float = 1.0

    def bias(self, queries: range, rows: range, *, like: Tensor) -> Tensor:
        """[H, T, S] for queries and rows at these positions; those after a query are as far as those before."""
        at_T, at_S = (torch.arange(each.start, each.stop, device=like.device) for each in (queries, rows))
        return self._at(at_T, at_S).to(like.dtype)

    def of_each(self, queries_L: Tensor, rows: range, *, like: Tensor) -> Tensor:
        """[L, H, S] for queries at these positions, each of a sequence of its own."""
        at_S = torch.arange(rows.start, rows.stop, device=like.device)
        return self._at(queries_L, at_S).transpose(0, 1).to(like.dtype).contiguous()

    def _at(self, at_T: Tensor, at_S: Tensor) -> Tensor:
        slopes_H11 = torch.tensor(slopes(self.heads), device=at_T.device)[:, None, None]
        if self.kind == "scaled":
            return (slopes_H11.bfloat16() * at_S).float().expand(-1, len(at_T), -1) * self.scale
        distances_TS = (at_T[:, None] - at_S).abs().float()
        return -slopes_H11 * (distances_TS.sqrt() if self.kind == "root" else distances_TS)


def slopes(heads: int) -> list[float]:
    """2 ** (-8 i / n) for i = 1, ..., n; where the heads are no power of two, every second of twice as many follows."""
    n = 1 << heads.bit_length() - 1
    more = [2.0 ** (-4 * i / n) for i in range(1, 2 * (heads - n), 2)]
    return [2.0 ** (-8 * i / n) for i in range(1, n + 1)] + more
