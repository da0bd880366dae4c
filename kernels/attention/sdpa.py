"""Torch's own fused attention, called once for neighbours of one length that have no past, else for each sequence."""
# B sequences, N new rows of each, S rows in sight, H heads, G key/value heads, K and V head widths

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice, pairwise

import torch
from torch import Tensor

from triptych.kernels.attention.reference import in_sight
from triptych.kernels.attention.scores import Scores
from triptych.kernels.attention.sight import Sight, additive
from triptych.kernels.attention.spans import Kept, Reach, Spans

PIECE = 256  # queries at least that are looked at together, where rows are out of the reach of others
KEPT = 1024  # rows up to which the masks of a piece for each head are kept for the layers after it


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
    sinks: Tensor | None = None,
) -> Tensor:
    scores = Scores(scale, sinks)
    if kept is not None and causal and (ones := spans.ones):
        if ones == len(spans.new):
            return _decode(q_THK, kept, spans, scores=scores, reach=reach)
        found = [_decode(q_THK[:ones], kept, spans, scores=scores, reach=reach)]
    else:
        ones, found = 0, []
    if spans.runs and not (causal and spans.blocks):
        batch = partial(_batch, spans=spans, scores=scores, causal=causal, reach=reach)
        found = [batch(q_THK[at], k_TGK[at], v_TGV[at], length=length) for at, length in spans.runs]
        return found[0] if len(found) == 1 else torch.cat(found)
    for i, (start, stop) in islice(enumerate(pairwise(spans.bounds)), ones, None):
        past, length = spans.past[i], spans.lengths[i]
        k, v, first = k_TGK[start:stop].transpose(0, 1), v_TGV[start:stop].transpose(0, 1), past
        if kept is not None and past:
            first = reach.start(past)
            k, v = kept.of(i, length, first)
        q = q_THK[start:stop].transpose(0, 1)
        queries, rows = range(past, length), range(first, length)
        looked = partial(_in_blocks, blocks=spans.blocks[i]) if spans.blocks and causal else _looked
        y = looked(
            q[None], k[None], v[None], spans, queries=queries, rows=rows, scores=scores, causal=causal, reach=reach
        )
        found.append(y[0].transpose(0, 1))
    return torch.cat(found)


def _in_blocks(
    q_BHNK: Tensor,
    k_BGSK: Tensor,
    v_BGSV: Tensor,
    spans: Spans,
    *,
    blocks: Sequence[range],
    queries: range,
    rows: range,
    scores: Scores,
    causal: bool,
    reach: Reach,
) -> Tensor:
    """As `_looked`, a run of queries at a time; those of a block see all rows in reach up to its end."""
    found = []
    for run, is_block in _runs(queries, blocks):
        seen = range(rows.start, run.stop)
        q = q_BHNK[:, :, run.start - queries.start : run.stop - queries.start]
        k, v = k_BGSK[:, :, : len(seen)], v_BGSV[:, :, : len(seen)]
        if is_block and reach.whole_blocks and reach.rows is not None:
            found.append(_whole_block(q, k, v, spans, block=run, rows=seen, scores=scores, reach=reach))
        else:
            one_way = causal and not is_block
            found.append(_looked(q, k, v, spans, queries=run, rows=seen, scores=scores, causal=one_way, reach=reach))
    return torch.cat(found, 2)


def _whole_block(
    q_BHNK: Tensor,
    k_BGSK: Tensor,
    v_BGSV: Tensor,
    spans: Spans,
    *,
    block: range,
    rows: range,
    scores: Scores,
    reach: Reach,
) -> Tensor:
    """N queries, which are a block, over all of it and those of the rows before it that are in their reach."""
    seen = range(max(rows.start, reach.start(block.start)), block.stop)
    mask = None
    if seen != block:
        mask = spans.once(
            ("whole block", block, seen, reach, q_BHNK.dtype),
            lambda: additive(
                in_sight(block, seen, causal=True, reach=reach, blocks=[block], device=q_BHNK.device), q_BHNK
            ),
        )
    past = slice(seen.start - rows.start, None)
    return _fused(q_BHNK, k_BGSK[:, :, past], v_BGSV[:, :, past], mask, scores=scores, causal=False)


def _runs(queries: range, blocks: Sequence[range]) -> Iterator[tuple[range, bool]]:
    """Queries cut where blocks begin and end, and whether each run is a block."""
    at = queries.start
    for block in blocks:
        if at < block.start:
            yield range(at, block.start), False
        yield block, True
        at = block.stop
    if at < queries.stop or not queries:
        yield range(at, queries.stop), False


def _decode(q_BHK: Tensor, kept: Kept, spans: Spans, *, scores: Scores, reach: Reach) -> Tensor:
    """One new row of each of the first sequences."""
    sights = spans.once(
        ("decode", kept.group, reach, q_BHK.dtype),
        lambda: Sight.several(kept, spans.lengths[: len(q_BHK)], like=q_BHK, reach=reach),
    )
    if len(sights) == 1:
        return _seen(q_BHK, kept, sights[0], scores=scores)
    y_BHV = q_BHK.new_empty(*q_BHK.shape[:2], kept.v.shape[-1])
    for sight in sights:
        y_BHV[sight.members] = _seen(q_BHK[sight.members], kept, sight, scores=scores)
    return y_BHV


def _seen(q_BHK: Tensor, kept: Kept, sight: Sight, *, scores: Scores) -> Tensor:
    """The query heads that share a key head become the rows of its queries."""
    H, K = q_BHK.shape[1:]
    G = kept.k.shape[1]
    q_LHK = sight.spread(q_BHK)
    k_LGSK, v_LGSV = sight.rows(kept.k), sight.rows(kept.v)
    q_LGNK = q_LHK.view(len(q_LHK), G, H // G, K)
    y = scores.attend(q_LGNK, k_LGSK, v_LGSV, sight.mask, sinks_shape=(G, H // G, 1))
    return sight.gather(y.reshape(len(q_LHK), H, -1))


def _batch(
    q_THK: Tensor,
    k_TGK: Tensor,
    v_TGV: Tensor,
    *,
    length: int,
    spans: Spans,
    scores: Scores,
    causal: bool,
    reach: Reach,
) -> Tensor:
    q, k, v = (x.view(-1, length, *x.shape[1:]).transpose(1, 2) for x in (q_THK, k_TGK, v_TGV))
    rows = range(length)
    y = _looked(q, k, v, spans, queries=rows, rows=rows, scores=scores, causal=causal, reach=reach)
    return y.transpose(1, 2).flatten(0, 1)


def _looked(
    q_BHNK: Tensor,
    k_BGSK: Tensor,
    v_BGSV: Tensor,
    spans: Spans,
    *,
    queries: range,
    rows: range,
    scores: Scores,
    causal: bool,
    reach: Reach,
) -> Tensor:
    """N queries of each sequence over S rows of it, a piece at a time, of which each takes the rows in its reach."""
    found = []
    for piece in _pieces(queries, reach):
        seen = range(max(rows.start, reach.start(piece.start)), piece.stop if causal else rows.stop)
        mask = _mask(spans, piece, seen, like=q_BHNK, causal=causal, reach=reach)
        part, past = (slice(at.start - of.start, at.stop - of.start) for at, of in ((piece, queries), (seen, rows)))
        q, k, v = q_BHNK[:, :, part], k_BGSK[:, :, past], v_BGSV[:, :, past]
        found.append(_fused(q, k, v, mask, scores=scores, causal=causal))
    return found[0] if len(found) == 1 else torch.cat(found, 2)


def _pieces(queries: range, reach: Reach) -> Iterator[range]:
    """About as many queries as a row sees; chunks begin with a piece. Few where the mask is one for each head."""
    rows = reach.rows
    if rows is None or not reach.start(queries.stop - 1):
        if not reach.alibi:
            yield queries
            return
        rows = PIECE
    step = -(-PIECE // rows) * rows
    cuts = range((queries.start // step + 1) * step, queries.stop, step)
    for start, stop in pairwise([queries.start, *cuts, queries.stop]):
        yield range(start, stop)


def _mask(spans: Spans, queries: range, rows: range, *, like: Tensor, causal: bool, reach: Reach) -> Tensor | None:
    """[T, S] or [H, T, S] to add to the scores; None where the flag `is_causal`, or nothing at all, says the same."""
    if reach.start(queries.stop - 1) <= rows.start:
        reach = Reach(alibi=reach.alibi)
    if reach == Reach() and (not causal or queries == rows):
        return None
    if reach.alibi and len(rows) > KEPT:
        return _added(queries, rows, like=like, causal=causal, reach=reach)
    return spans.once(
        ("mask", queries, rows, causal, reach, like.dtype),
        lambda: _added(queries, rows, like=like, causal=causal, reach=reach),
    )


def _added(queries: range, rows: range, *, like: Tensor, causal: bool, reach: Reach) -> Tensor:
    mask_TS = additive(in_sight(queries, rows, causal=causal, reach=reach, device=like.device), like)
    return mask_TS + reach.alibi.bias(queries, rows, like=like) if reach.alibi else mask_TS


def _fused(
    q_BHNK: Tensor, k_BGSK: Tensor, v_BGSV: Tensor, mask: Tensor | None, *, scores: Scores, causal: bool
) -> Tensor:
    shape = (q_BHNK.shape[1], 1, 1)
    return scores.attend(q_BHNK, k_BGSK, v_BGSV, mask, sinks_shape=shape, one_way=causal and mask is None)
