"""cross_attention on a GPU: the kernel of attention, where no row is before another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from triptych.kernels.attention.kernel import refuses as attention_refuses
from triptych.kernels.attention.on_gpu.launch import Rows, attend_beside
from triptych.kernels.attention.on_gpu.seen import Seen
from triptych.kernels.attention.spans import Kept, Reach, Spans


def refuses(q_THK: Tensor, kept: Kept, *, scale: float) -> str | None:
    """Why a call cannot run here."""
    if rows_apart(kept.k) is None or rows_apart(kept.k) != rows_apart(kept.v):
        return "pages of the cache do not begin a whole number of rows apart"
    return attention_refuses(q_THK, kept.k, kept.v, kept=kept, scale=scale)


def cross_attention(q_THK: Tensor, kept: Kept, *, lengths: Sequence[int], spans: Spans, scale: float) -> Tensor:
    q = q_THK if q_THK.stride(-1) == 1 else q_THK.contiguous()
    y = torch.empty(*q.shape[:2], kept.v.shape[-1], dtype=q.dtype, device=q.device)
    if spans.numbers:
        seen, apart = Seen(spans, scale, False, Reach(), None), rows_apart(kept.k) or 0
        starts = [apart * table[0] for table in kept.tables]
        attend_beside(Rows.beside(q, kept), y, seen, spans.numbers, starts=starts, lengths=lengths)
    return y


def rows_apart(cache: Tensor) -> int | None:
    """Rows of [pages, G, page, K] from the beginning of a page to that of the next."""
    page, _, row, _ = cache.stride()
    return page // row if row and page % row == 0 else None
