"""The definition: rms_norm and rotary one after the other, and rows written to pages."""

# T rows, H heads, G key/value heads, K head width, V width of a value, C channels of all heads

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from triptych.kernels.rms_norm import reference as norms
from triptych.kernels.rotary import reference as turns

if TYPE_CHECKING:
    from triptych.kernels.qk_norm_rope_cache import Norm, Turn


def qk_norm_rope_cache(
    qkv_TC: Tensor, slots_T: Tensor, k_pages: Tensor, v_pages: Tensor, *, norm: Norm | None, turn: Turn | None
) -> tuple[Tensor, Tensor, Tensor]:
    (T, C), (_, G, page, K), V = qkv_TC.shape, k_pages.shape, v_pages.shape[-1]
    H = (C - G * (K + V)) // K
    q_TQ, k_TQ, v_TQ = qkv_TC.split_with_sizes((H * K, G * K, G * V), 1)
    q_THK = _made(q_TQ.view(T, H, K), norm and norm.q_weight, norm, turn)
    k_TGK = _made(k_TQ.view(T, G, K), norm and norm.k_weight, norm, turn)
    v_TGV = v_TQ.view(T, G, V)
    kept = slots_T >= 0
    slots = slots_T[kept]
    for pages, rows in ((k_pages, k_TGK), (v_pages, v_TGV)):
        pages[slots // page, :, slots % page] = rows[kept]
    return q_THK, k_TGK, v_TGV


def _made(x_THK: Tensor, weight: Tensor | None, norm: Norm | None, turn: Turn | None) -> Tensor:
    if norm and not norm.last:
        x_THK = norms.rms_norm(x_THK, weight, eps=norm.eps, offset=norm.offset, cast_first=norm.cast_first)
    if turn:
        x_THK = turns.rotary(x_THK, turn.cos, turn.sin, interleaved=turn.interleaved)
    if norm and norm.last:
        x_THK = norms.rms_norm(x_THK, weight, eps=norm.eps, offset=norm.offset, cast_first=norm.cast_first)
    return x_THK
