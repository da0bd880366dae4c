"""cross_attention: every row looks at all rows that its sequence has beside it, and takes a mean of their values."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.attention.spans import Kept, Spans
from triptych.kernels.choice import kernel_for
from triptych.kernels.cross_attention import sdpa


def cross_attention(q_THK: Tensor, kept: Kept, *, lengths: Sequence[int], spans: Spans, scale: float) -> Tensor:
    """q [T, H, K] of packed sequences -> [T, H, V]; query head h reads head h // (H / G).

    Sequence i sees the first `lengths[i]` rows of its page in `kept`, the one page in its table; none stands before or
    after another. Raises KernelError when the shapes do not fit together.
    """
    T, H, K = q_THK.shape
    pages, G, page, _ = kept.k.shape
    fits = kept.k.shape[-1] == K and kept.v.shape[:3] == (pages, G, page) and H % G == 0 and spans.bounds[-1] == T
    if not fits or len(lengths) != len(spans.new) or not all(0 < length <= page for length in lengths):
        shapes = f"q {tuple(q_THK.shape)}, k {tuple(kept.k.shape)}, v {tuple(kept.v.shape)}"
        raise KernelError(f"cross_attention: {shapes}, of which {list(lengths)} rows, over {spans.bounds[-1]} rows")
    op = kernel_for("cross_attention", q_THK, kept, scale=scale) or sdpa
    found: Tensor = op.cross_attention(q_THK, kept, lengths=lengths, spans=spans, scale=scale)
    return found
