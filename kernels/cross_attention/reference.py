"""The definition: softmax(q k^T scale) v over the rows beside each sequence, one after the other, in float32."""
# T query rows, S rows beside a sequence, H heads, G key/value heads, K and V head widths

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from triptych.kernels.attention.spans import Kept, Spans
from triptych.kernels.widened import widened


def cross_attention(q_THK: Tensor, kept: Kept, *, lengths: Sequence[int], spans: Spans, scale: float) -> Tensor:
    found = []
    for i, (start, stop) in enumerate(pairwise(spans.bounds)):
        group = q_THK.shape[1] // kept.k.shape[1]
        wide = widened(q_THK.dtype)
        k_HSK, v_HSV = (rows.to(wide).repeat_interleave(group, 0) for rows in kept.of(i, lengths[i]))
        scores_HTS = torch.einsum("thk,hsk->hts", q_THK[start:stop].to(wide), k_HSK) * scale
        found.append(torch.einsum("hts,hsv->thv", scores_HTS.softmax(-1), v_HSV).to(q_THK.dtype))
    return torch.cat(found)
