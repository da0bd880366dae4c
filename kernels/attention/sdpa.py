"""Torch's own fused attention, called once for sequences that fit in one batch, else once for each."""
# B sequences, N new rows of each, S rows in sight, H heads, G key/value heads, K and V head widths

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.kernels.attention.reference import in_sight
from triptych.kernels.attention.spans import Kept, Spans


def attention(
    q_THK: Tensor,
    k_TGK: Tensor,
    v_TGV: Tensor,
    *,
    spans: Spans,
    kept: Kept | None,
    scale: float,
    causal: bool,
    window: int | None,
) -> Tensor:
    if kept is not None and causal and spans.single:
        return _decode(q_THK, kept, spans, scale=scale, window=window)
    if spans.even and not spans.past[0]:
        return _batch(q_THK, k_TGK, v_TGV, spans, scale=scale, causal=causal, window=window)
    found = []
    for i, (start, stop) in enumerate(pairwise(spans.bounds)):
        k, v = k_TGK[start:stop].transpose(0, 1), v_TGV[start:stop].transpose(0, 1)
        if kept is not None and spans.past[i]:
            k, v = (rows[kept.slots[i], :, : spans.lengths[i]] for rows in (kept.k, kept.v))
        mask = _mask(spans, stop - start, k.shape[1], like=q_THK, causal=causal, window=window)
        y = _fused(q_THK[start:stop].transpose(0, 1)[None], k[None], v[None], mask, scale=scale, causal=causal)
        found.append(y[0].transpose(0, 1))
    return torch.cat(found)


def _decode(q_BHK: Tensor, kept: Kept, spans: Spans, *, scale: float, window: int | None) -> Tensor:
    """One new row a sequence: the query heads that share a key head become the rows of its queries."""
    B, H, K = q_BHK.shape
    G = kept.k.shape[1]
    slots, sight, mask = spans.once(
        ("decode", window, q_BHK.dtype), lambda: _decode_sight(kept, spans, like=q_BHK, window=window)
    )
    k_BGSK, v_BGSV = kept.k[slots, :, sight], kept.v[slots, :, sight]
    y = F.scaled_dot_product_attention(q_BHK.view(B, G, H // G, K), k_BGSK, v_BGSV, attn_mask=mask, scale=scale)
    return y.reshape(B, H, -1)


def _decode_sight(
    kept: Kept, spans: Spans, *, like: Tensor, window: int | None
) -> tuple[slice | Tensor, slice, Tensor | None]:
    """The slots, the rows of them that any sequence sees, and a mask where the sequences see different ones."""
    first, count = kept.slots[0], len(kept.slots)
    slots: slice | Tensor = slice(first, first + count)
    if kept.slots != tuple(range(first, first + count)):
        slots = torch.tensor(kept.slots, device=like.device)
    starts = [max(0, n - window) if window is not None else 0 for n in spans.lengths]
    sight = slice(min(starts), max(spans.lengths))
    if spans.even:
        return slots, sight, None
    at_S = torch.arange(sight.start, sight.stop, device=like.device)
    stops_B1, starts_B1 = (torch.tensor(x, device=like.device)[:, None] for x in (spans.lengths, starts))
    seen_BS = (at_S < stops_B1) & (at_S >= starts_B1)
    return slots, sight, _additive(seen_BS, like)[:, None, None]


def _batch(
    q_THK: Tensor, k_TGK: Tensor, v_TGV: Tensor, spans: Spans, *, scale: float, causal: bool, window: int | None
) -> Tensor:
    """Sequences of one length that have no past."""
    q, k, v = (x.view(len(spans.new), -1, *x.shape[1:]).transpose(1, 2) for x in (q_THK, k_TGK, v_TGV))
    mask = _mask(spans, spans.new[0], spans.new[0], like=q_THK, causal=causal, window=window)
    return _fused(q, k, v, mask, scale=scale, causal=causal).transpose(1, 2).flatten(0, 1)


def _mask(spans: Spans, queries: int, rows: int, *, like: Tensor, causal: bool, window: int | None) -> Tensor | None:
    """[T, S] to add to the scores; None where the flag `is_causal`, or nothing at all, says the same."""
    if window is not None and window >= rows:
        window = None
    if window is None and (not causal or queries == rows):
        return None
    return spans.once(
        ("mask", queries, rows, causal, window, like.dtype),
        lambda: _additive(in_sight(queries, rows, causal=causal, window=window, device=like.device), like),
    )


def _additive(seen: Tensor, like: Tensor) -> Tensor:
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill_(~seen, float("-inf"))


def _fused(
    q_BHNK: Tensor, k_BGSK: Tensor, v_BGSV: Tensor, mask: Tensor | None, *, scale: float, causal: bool
) -> Tensor:
    return F.scaled_dot_product_attention(
        q_BHNK,
        k_BGSK,
        v_BGSV,
        attn_mask=mask,
        is_causal=causal and mask is None,
        scale=scale,
        enable_gqa=q_BHNK.shape[1] != k_BGSK.shape[1],
    )
