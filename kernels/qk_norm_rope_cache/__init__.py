"""qk_norm_rope_cache: rows of the qkv matrix -> queries and keys normed and turned, keys and values in their pages."""

# T rows, H heads, G key/value heads, K head width, V width of a value, R turned channels, C channels of all heads

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from triptych.errors import KernelError
from triptych.kernels.choice import kernel_for
from triptych.kernels.qk_norm_rope_cache import reference

Heads = tuple[Tensor, Tensor, Tensor]


class Norm(NamedTuple):
    """rms_norm over each head of queries and of keys, and what that takes: both weights [K], or none.

    `last`: after the turn.
    """

    q_weight: Tensor | None
    k_weight: Tensor | None
    eps: float
    offset: float = 0.0
    cast_first: bool = True
    last: bool = False


class Turn(NamedTuple):
    """The tables [T, 1, R] that rotary takes."""

    cos: Tensor
    sin: Tensor
    interleaved: bool = False


def qk_norm_rope_cache(
    qkv_TC: Tensor, slots_T: Tensor, k_pages: Tensor, v_pages: Tensor, *, norm: Norm | None, turn: Turn | None
) -> Heads:
    """qkv [T, C] -> queries [T, H, K], keys [T, G, K] and values [T, G, V]; keys and values are in the pages too.

    A row of C is H heads of queries, G of keys and G of values side by side; what the pages [pages, G, page, K] and
    [pages, G, page, V] do not account for are queries. `slots` [T] says where a row goes: the page times rows of a page
    plus the row in it; below nought for a row that nobody keeps. No two rows go to one place.
    Without `norm` nothing is normed, without `turn` nothing turned. Raises KernelError when shapes do not fit together.
    """
    if wrong := _wrong(qkv_TC, slots_T, k_pages, v_pages, norm=norm, turn=turn):
        raise KernelError(f"qk_norm_rope_cache: {wrong}")
    op = kernel_for("qk_norm_rope_cache", qkv_TC, k_pages, v_pages, norm, turn) or reference
    found: Heads = op.qk_norm_rope_cache(qkv_TC, slots_T, k_pages, v_pages, norm=norm, turn=turn)
    return found


def _wrong(
    qkv_TC: Tensor, slots_T: Tensor, k_pages: Tensor, v_pages: Tensor, *, norm: Norm | None, turn: Turn | None
) -> str | None:
    (T, C), (_, G, _, K) = qkv_TC.shape, k_pages.shape
    if k_pages.shape[:3] != v_pages.shape[:3]:
        return f"pages {tuple(k_pages.shape)} of keys, {tuple(v_pages.shape)} of values"
    left = C - G * (K + v_pages.shape[-1])
    if left < 0 or left % K:
        return f"rows {tuple(qkv_TC.shape)} for pages {tuple(k_pages.shape)} and {tuple(v_pages.shape)}"
    if slots_T.shape != (T,):
        return f"places {tuple(slots_T.shape)} for {T} rows"
    weights = (norm.q_weight, norm.k_weight) if norm else ()
    if any(weight is None or weight.shape != (K,) for weight in weights) and weights != (None, None):
        return f"weights of the norms are not both as wide as heads, {K}"
    if turn and (turn.cos.shape != turn.sin.shape or turn.cos.shape[:2] != (T, 1) or turn.cos.shape[-1] > K):
        return f"tables {tuple(turn.cos.shape)} and {tuple(turn.sin.shape)} for {T} rows and heads of {K}"
    return None
