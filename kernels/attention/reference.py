"""The definition: softmax(q k^T scale) v over the rows in sight, one sequence after the other, scores in float32."""
# T query rows, S rows in sight of them, H heads, G key/value heads, K and V head widths

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

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
    softcap: float | None,
) -> Tensor:
    found = []
    for i, (start, stop) in enumerate(pairwise(spans.bounds)):
        k, v = k_TGK[start:stop], v_TGV[start:stop]
        if kept is not None:
            k, v = (rows.transpose(0, 1) for rows in kept.of(i, spans.lengths[i]))
        found.append(_attend(q_THK[start:stop], k, v, scale=scale, causal=causal, window=window, softcap=softcap))
    return torch.cat(found)


def _attend(
    q_THK: Tensor,
    k_SGK: Tensor,
    v_SGV: Tensor,
    *,
    scale: float,
    causal: bool,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    """One sequence: its T queries stand at the last T of the S rows."""
    group = q_THK.shape[1] // k_SGK.shape[1]
    k_SHK, v_SHV = k_SGK.repeat_interleave(group, 1), v_SGV.repeat_interleave(group, 1)
    scores_HTS = torch.einsum("thk,shk->hts", q_THK.float(), k_SHK.float()) * scale
    if softcap is not None:
        scores_HTS = softcap * torch.tanh(scores_HTS / softcap)
    T, S = scores_HTS.shape[1:]
    hidden_TS = ~in_sight(T, S, causal=causal, window=window, device=q_THK.device)
    weights_HTS = scores_HTS.masked_fill(hidden_TS, float("-inf")).softmax(-1)
    return torch.einsum("hts,shv->thv", weights_HTS, v_SHV.float()).to(q_THK.dtype)


def in_sight(queries: int, rows: int, *, causal: bool, window: int | None, device: torch.device) -> Tensor:
    """[T, S] true where a query sees a row: none after it when causal, no more than `window` back, itself included."""
    at_T = torch.arange(rows - queries, rows, device=device)
    ages_TS = at_T[:, None] - torch.arange(rows, device=device)
    seen = ages_TS >= 0 if causal else torch.ones_like(ages_TS, dtype=torch.bool)
    return seen & (ages_TS < window) if window is not None else seen
