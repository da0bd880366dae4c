"""attention on a GPU: tiles of packed rows with online softmax, over rows of the step and over pages."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from triptych.kernels.attention.decoding import DecodeSpans
from triptych.kernels.attention.on_gpu.gradients import Attention
from triptych.kernels.attention.on_gpu.launch import Rows, attend, attend_in_parts, attend_on_device
from triptych.kernels.attention.on_gpu.seen import Seen
from triptych.kernels.attention.spans import Kept, Reach, Spans

WIDEST = 256  # a head, whose tiles stand in registers
FEW = 8  # new rows of a sequence, up to which it looks at its older rows as in decoding
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def refuses(
    q: Tensor, k: Tensor, v: Tensor, *, kept: Kept | None, scale: float, sinks: Tensor | None = None, **others: Any
) -> str | None:
    """Why a call cannot run here."""
    del others  # all that they may say is known
    read = (q, k, v) if kept is None else (q, k, v, kept.k, kept.v)
    if q.dtype not in DTYPES or any(x.dtype != q.dtype for x in read):
        return f"rows are {', '.join(sorted({str(x.dtype) for x in read}))}"
    if (width := max(x.shape[-1] for x in read)) > WIDEST:
        return f"heads are {width} wide, more than {WIDEST}"
    if scale <= 0:
        return f"scores are multiplied by {scale}"
    if kept is not None and any(x.stride(-1) != 1 for x in (kept.k, kept.v)):
        return "numbers of a cached row are apart"
    if kept is not None and _learns(*read, sinks):
        return "gradients are asked of rows in a cache"
    return None


def _learns(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


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
    seen = Seen(spans, scale, causal, reach, softcap, temperature_length)
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q_THK, k_TGK, v_TGV))
    if kept is None and spans.numbers and _learns(q, k, v, sinks):
        found: Tensor = Attention.apply(q, k, v, sinks, seen)
        return found
    y = torch.empty(*q.shape[:2], v.shape[-1], dtype=q.dtype, device=q.device)
    if not spans.numbers:
        return y
    if isinstance(spans, DecodeSpans) and kept is not None:
        attend_on_device(Rows.older(q, kept), y, seen, spans, sinks=sinks)
        return y
    if kept is None or not any(spans.past):
        attend(Rows.own(q, k, v), y, seen, spans.numbers, sinks=sinks)
        return y
    rows = Rows.older(q, kept)
    few = [i for i in spans.numbers if spans.new[i] <= FEW and spans.past[i]]
    if few:
        attend_in_parts(rows, y, seen, few, sinks=sinks)
    if more := [i for i in spans.numbers if spans.new[i] > FEW or not spans.past[i]]:
        attend(rows, y, seen, more, sinks=sinks)
    return y
