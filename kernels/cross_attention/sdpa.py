"""Torch's own fused attention: once for each run of sequences that are alike, one after the other."""
# B sequences, N new rows of each, S rows beside each, H heads, G key/value heads, K and V head widths

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.kernels.attention.spans import Kept, Spans


def cross_attention(q_THK: Tensor, kept: Kept, *, lengths: Sequence[int], spans: Spans, scale: float) -> Tensor:
    found = [
        _seen(
            q_THK[spans.bounds[run.start] : spans.bounds[run.stop]], kept, run, length=lengths[run.start], scale=scale
        )
        for run in _runs(spans.new, lengths)
    ]
    return found[0] if len(found) == 1 else torch.cat(found)


def _runs(new: Sequence[int], lengths: Sequence[int]) -> list[range]:
    """The numbers of sequences side by side that have as many new rows each, and as many beside."""
    pairs = [*zip(new, lengths, strict=True)]
    firsts = [number for number in range(len(pairs)) if number == 0 or pairs[number] != pairs[number - 1]]
    return [range(*bounds) for bounds in pairwise([*firsts, len(pairs)])]


def _seen(q_THK: Tensor, kept: Kept, numbers: range, *, length: int, scale: float) -> Tensor:
    """The rows of some sequences that are alike."""
    pages = [kept.tables[number][0] for number in numbers]
    k_BGSK, v_BGSV = (_pages(rows, pages)[:, :, :length] for rows in (kept.k, kept.v))
    q_BHNK = q_THK.reshape(len(pages), -1, *q_THK.shape[1:]).transpose(1, 2)
    grouped = q_BHNK.shape[1] != k_BGSK.shape[1]
    y_BHNV = F.scaled_dot_product_attention(q_BHNK, k_BGSK, v_BGSV, scale=scale, enable_gqa=grouped)
    return y_BHNV.transpose(1, 2).flatten(0, 1)


def _pages(rows: Tensor, pages: Sequence[int]) -> Tensor:
    """The pages in that order: in place where they lie one after the other."""
    first, count = pages[0], len(pages)
    if [*pages] == [*range(first, first + count)]:
        return rows[first : first + count]
    return rows[torch.tensor(pages, device=rows.device)]
