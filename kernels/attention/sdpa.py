"""Torch's own fused attention, called once for sequences that fit in one batch, else once for each."""
# B sequences, N new rows of each, S rows in sight, H heads, G key/value heads, K and V head widths

from __future__ import annotations

from itertools import islice, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.kernels.attention.reference import in_sight
from triptych.kernels.attention.sight import Sight, additive
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
    if kept is not None and causal and (ones := spans.ones):
        y_BHV = _decode(q_THK[:ones], kept, spans, scale=scale, window=window)
        if ones == len(spans.new):
            return y_BHV
        found = [y_BHV]
    else:
        ones, found = 0, []
    if spans.even and not spans.past[0]:
        return _batch(q_THK, k_TGK, v_TGV, spans, scale=scale, causal=causal, window=window)
    for i, (start, stop) in islice(enumerate(pairwise(spans.bounds)), ones, None):
        k, v = k_TGK[start:stop].transpose(0, 1), v_TGV[start:stop].transpose(0, 1)
        if kept is not None and spans.past[i]:
            k, v = kept.of(i, spans.lengths[i])
        mask = _mask(spans, stop - start, k.shape[1], like=q_THK, causal=causal, window=window)
        y = _fused(q_THK[start:stop].transpose(0, 1)[None], k[None], v[None], mask, scale=scale, causal=causal)
        found.append(y[0].transpose(0, 1))
    return torch.cat(found)


def _decode(q_BHK: Tensor, kept: Kept, spans: Spans, *, scale: float, window: int | None) -> Tensor:
    """One new row of each of the first sequences."""
    sights = spans.once(
        ("decode", window, q_BHK.dtype),
        lambda: Sight.several(kept, spans.lengths[: len(q_BHK)], like=q_BHK, window=window),
    )
    if len(sights) == 1:
        return _seen(q_BHK, kept, sights[0], scale=scale)
    y_BHV = q_BHK.new_empty(*q_BHK.shape[:2], kept.v.shape[-1])
    for sight in sights:
        y_BHV[sight.members] = _seen(q_BHK[sight.members], kept, sight, scale=scale)
    return y_BHV


def _seen(q_BHK: Tensor, kept: Kept, sight: Sight, *, scale: float) -> Tensor:
    """The query heads that share a key head become the rows of its queries."""
    H, K = q_BHK.shape[1:]
    G = kept.k.shape[1]
    q_LHK = sight.spread(q_BHK)
    k_LGSK, v_LGSV = sight.rows(kept.k), sight.rows(kept.v)
    y = F.scaled_dot_product_attention(
        q_LHK.view(len(q_LHK), G, H // G, K), k_LGSK, v_LGSV, attn_mask=sight.mask, scale=scale
    )
    return sight.gather(y.reshape(len(q_LHK), H, -1))


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
        lambda: additive(in_sight(queries, rows, causal=causal, window=window, device=like.device), like),
    )


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
