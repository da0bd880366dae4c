"""Torch's own fused attention: once for the sequences at the front that are alike, then once for each other."""
# B sequences, N new rows of each, S rows beside each, H heads, G key/value heads, K and V head widths

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.kernels.attention.spans import Kept, Spans


def cross_attention(q_THK: Tensor, kept: Kept, *, lengths: Sequence[int], spans: Spans, scale: float) -> Tensor:
    alike = _alike(spans.new, lengths)
    bounds = [spans.bounds[first] for first in (0, alike, *range(alike + 1, len(lengths) + 1))]
    firsts = [0, *range(alike, len(lengths) + 1)]
    found = [
        _seen(q_THK[start:stop], kept, range(*numbers), length=lengths[numbers[0]], scale=scale)
        for (start, stop), numbers in zip(pairwise(bounds), pairwise(firsts), strict=True)
    ]
    return found[0] if len(found) == 1 else torch.cat(found)


def _alike(new: Sequence[int], lengths: Sequence[int]) -> int:
    """How many sequences at the front have as many new rows as the first, and as many beside."""
    pairs = enumerate(zip(new, lengths, strict=True))
    return next((i for i, pair in pairs if pair != (new[0], lengths[0])), len(new))


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
