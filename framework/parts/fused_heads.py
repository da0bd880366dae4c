"""Queries, keys and values by one kernel, which keeps the rows too, where a kernel is to run."""

# T rows, D width

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from triptych.kernels.attention import Kept
from triptych.kernels.choice import kernel_for
from triptych.kernels.qk_norm_rope_cache import Norm, Turn, qk_norm_rope_cache
from triptych.parts.norms import RmsNorm
from triptych.parts.rope import Rope
from triptych.parts.step import Step

if TYPE_CHECKING:
    from triptych.parts.attention import Attention

OP = "qk_norm_rope_cache"
SeenRows = tuple[Tensor, Tensor, Kept | None]  # keys [T, G, K] and values [T, G, V] of the step, and all that are kept


def can_fuse(part: Attention) -> bool:
    """Whether what lies between the matrix of an attention and its scores is what the kernel does."""
    norms, position = (part.q_norm, part.k_norm), part.position
    is_normed = all(type(norm) is RmsNorm for norm in norms) and not part.over_all
    is_plain = part.clip is None and part.v_norm is None and part.temperature is None
    return (
        part.spec.causal
        and is_plain
        and (is_normed or norms == (None, None))
        and (type(position) is Rope or (position is None and is_normed))
    )


def fused(part: Attention, x_TD: Tensor, step: Step) -> tuple[Tensor, SeenRows] | None:
    """Queries and the rows that they look at; None where the kernel does not take them."""
    if torch.is_grad_enabled() or (places := step.places(part.key)) is None:
        return None
    kept, slots_T = places
    norm = _norm(part.q_norm, part.k_norm, last=not part.norms_first)
    turn = _turn(part.position, step, x_TD.dtype)
    if kernel_for(OP, x_TD, kept.k, kept.v, norm, turn) is None:
        return None
    qkv_TC = part.qkv(x_TD)
    q_THK, k_TGK, v_TGV = qk_norm_rope_cache(qkv_TC, slots_T, kept.k, kept.v, norm=norm, turn=turn)
    return q_THK, (k_TGK, v_TGV, kept)


def _norm(q_norm: nn.Module | None, k_norm: nn.Module | None, *, last: bool) -> Norm | None:
    if not isinstance(q_norm, RmsNorm) or not isinstance(k_norm, RmsNorm):
        return None
    return Norm(q_norm.weight, k_norm.weight, q_norm.eps, q_norm.offset, q_norm.cast_first, last)


def _turn(position: nn.Module | None, step: Step, dtype: torch.dtype) -> Turn | None:
    if not isinstance(position, Rope):
        return None
    return Turn(*position.tables(step, dtype), position.spec.interleaved)
