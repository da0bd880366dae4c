"""The definition: softmax(q k^T scale) v over the rows in sight, one sequence after the other, scores in float32."""
# T query rows, S rows in sight of them, H heads, G key/value heads, K and V head widths

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from math import log

import torch
from torch import Tensor

from triptych.kernels.attention import decoding
from triptych.kernels.attention.decoding import DecodeSpans
from triptych.kernels.attention.spans import Kept, Reach, Spans
from triptych.kernels.widened import widened


def attention(
    q_THK: Tensor,
    k_TGK: Tensor,
    v_TGV: Tensor,
    *,
    spans: Spans,
    kept: Kept | None,
    scale: float,
    causal: bool,
    reach: Reach,
    softcap: float | None,
    temperature_length: int | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    wide = widened(q_THK.dtype)
    if isinstance(spans, DecodeSpans) and kept is not None:
        last_B11 = spans.lengths_B[:, None, None] - 1
        bent = partial(_bent, softcap=softcap, sharper_T1=_sharper(last_B11.to(wide), temperature_length))
        return decoding.attention(q_THK, kept, spans, scale=scale, reach=reach, bent=bent, sinks=sinks)
    found = []
    for i, (start, stop) in enumerate(pairwise(spans.bounds)):
        k, v, first = k_TGK[start:stop], v_TGV[start:stop], spans.past[i] if kept is None else 0
        if kept is not None:
            first = reach.start(spans.past[i])
            k, v = (kept_rows.transpose(0, 1) for kept_rows in kept.of(i, spans.lengths[i], first))
        queries, rows = range(spans.past[i], spans.lengths[i]), range(first, spans.lengths[i])
        seen_TS = in_sight(
            queries,
            rows,
            causal=causal,
            reach=reach,
            blocks=spans.blocks[i] if spans.blocks else (),
            device=q_THK.device,
        )
        bias_HTS = reach.alibi.bias(queries, rows, like=q_THK) if reach.alibi else None
        at_T1 = torch.arange(queries.start, queries.stop, dtype=wide, device=q_THK.device)[:, None]
        bent = partial(_bent, softcap=softcap, sharper_T1=_sharper(at_T1, temperature_length))
        found.append(_attend(q_THK[start:stop], k, v, seen_TS, scale=scale, bent=bent, bias_HTS=bias_HTS, sinks=sinks))
    return torch.cat(found)


def _attend(
    q_THK: Tensor,
    k_SGK: Tensor,
    v_SGV: Tensor,
    seen_TS: Tensor,
    *,
    scale: float,
    bent: Callable[[Tensor], Tensor],
    sinks: Tensor | None,
    bias_HTS: Tensor | None,
) -> Tensor:
    """The T new rows of one sequence over S of its rows; of a sink, whose score is the first, the share is lost."""
    group = q_THK.shape[1] // k_SGK.shape[1]
    k_SHK, v_SHV = k_SGK.repeat_interleave(group, 1), v_SGV.repeat_interleave(group, 1)
    wide = widened(q_THK.dtype)
    scores_HTS = bent(torch.einsum("thk,shk->hts", q_THK.to(wide), k_SHK.to(wide)) * scale)
    if bias_HTS is not None:
        scores_HTS = scores_HTS + bias_HTS
    scores_HTS = scores_HTS.masked_fill(~seen_TS, float("-inf"))
    if sinks is None:
        weights_HTS = scores_HTS.softmax(-1)
    else:
        sinks_HT1 = sinks.to(wide)[:, None, None].expand(-1, len(q_THK), 1)
        weights_HTS = torch.cat((sinks_HT1, scores_HTS), -1).softmax(-1)[..., 1:]
    return torch.einsum("hts,shv->thv", weights_HTS, v_SHV.to(wide)).to(q_THK.dtype)


def _bent(scores_HTS: Tensor, *, softcap: float | None, sharper_T1: Tensor | None) -> Tensor:
    if softcap is not None:
        scores_HTS = softcap * torch.tanh(scores_HTS / softcap)
    return scores_HTS if sharper_T1 is None else scores_HTS * sharper_T1


def _sharper(at_T1: Tensor, length: int | None) -> Tensor | None:
    """What the scores of queries at these positions are multiplied by: max(1, log(position) / log(length))."""
    return None if length is None else (at_T1.clamp(min=1).log() / log(length)).clamp(min=1)


def in_sight(
    queries: range,
    rows: range,
    *,
    causal: bool,
    reach: Reach,
    blocks: Sequence[range] = (),
    device: torch.device | str | None = None,
) -> Tensor:
    """[T, S] true where a query sees a row.

    When causal none after it, but for those of its own block; and none that is out of reach: of its own block neither,
    unless the reach has `whole_blocks`.
    """
    at_T1, at_S = (torch.arange(each.start, each.stop, device=device) for each in (queries, rows))
    at_T1 = at_T1[:, None]
    seen_TS = at_S <= at_T1 if causal else torch.ones(len(queries), len(rows), dtype=torch.bool, device=device)
    own_TS = torch.zeros_like(seen_TS)
    for block in blocks:
        own_TS |= _inside(at_T1, block) & _inside(at_S, block)
    seen_TS |= own_TS
    if reach.window is not None:
        seen_TS &= at_S > at_T1 - reach.window
    if reach.chunk is not None:
        seen_TS &= at_S >= at_T1 // reach.chunk * reach.chunk
    return seen_TS | own_TS if reach.whole_blocks else seen_TS


def _inside(at: Tensor, block: range) -> Tensor:
    return (at >= block.start) & (at < block.stop)
