"""qk_norm_rope_cache on a GPU: some heads of one row a program, read once, and written where they are wanted.

The fusion is that of engines which serve: vLLM's fused_qk_norm_rope and reshape_and_cache in one.
"""

# T rows, H heads, G key/value heads, K head width, V width of a value, R turned channels, C channels of all heads

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.tuned import tuned

if TYPE_CHECKING:
    from triptych.kernels.qk_norm_rope_cache import Norm, Turn

NUMBERS = 1024  # that a program goes over, about


def refuses(qkv_TC: Tensor, k_pages: Tensor, v_pages: Tensor, norm: Norm | None, turn: Turn | None) -> str | None:
    """Why a call cannot run here."""
    beside = [
        k_pages,
        v_pages,
        *((norm.q_weight, norm.k_weight) if norm else ()),
        *((turn.cos, turn.sin) if turn else ()),
    ]
    if any(each is not None and each.dtype != qkv_TC.dtype for each in beside):
        return f"rows are {qkv_TC.dtype}, and not all of the rest is"
    if any(pages.numel() and not pages[0].is_contiguous() for pages in (k_pages, v_pages)):
        return "rows of a page are apart"
    if turn and turn.cos.shape[-1] % 2:
        return f"{turn.cos.shape[-1]} channels are no pairs"
    if torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in (qkv_TC, *beside)):
        return "gradients are asked of what it gives"
    return None


def qk_norm_rope_cache(
    qkv_TC: Tensor, slots_T: Tensor, k_pages: Tensor, v_pages: Tensor, *, norm: Norm | None, turn: Turn | None
) -> tuple[Tensor, Tensor, Tensor]:
    (T, C), (_, G, page, K), V = qkv_TC.shape, k_pages.shape, v_pages.shape[-1]
    H, R = (C - G * (K + V)) // K, turn.cos.shape[-1] if turn else 0
    qkv_TC = qkv_TC if qkv_TC.stride(1) == 1 else qkv_TC.contiguous()
    qk_TXK = torch.empty(T, H + G, K, dtype=qkv_TC.dtype, device=qkv_TC.device)
    tile = _tile(qkv_TC, heads=H, kv_heads=G, width=K)
    if T and page:
        blocks = triton.cdiv(H, tile["HEADS"]) + 2 * triton.cdiv(G, tile["HEADS"])
        _qk_norm_rope_cache[(T, blocks)](
            qkv_TC, slots_T.contiguous(), norm and norm.q_weight, norm and norm.k_weight,
            turn and turn.cos.contiguous(), turn and turn.sin.contiguous(), qk_TXK, k_pages, v_pages,
            qkv_TC.stride(0), k_pages.stride(0), v_pages.stride(0), norm.eps if norm else 0.0,
            H=H, G=G, K=K, V=V, R=R, PAGE=page, INTERLEAVED=turn.interleaved if turn else False,
            NORM=norm is not None, LAST=bool(norm and norm.last),
            OFFSET=norm.offset if norm else 0.0, CAST_FIRST=bool(norm and norm.cast_first),
            BLOCK=triton.next_power_of_2(K), VALUES=triton.next_power_of_2(max(1, V)), **tile,
        )  # fmt: skip
    q_THK, k_TGK = qk_TXK.split_with_sizes((H, G), 1)
    return q_THK, k_TGK, qkv_TC[:, (H + G) * K :].view(T, G, V)


def _tile(x: Tensor, *, heads: int, kv_heads: int, width: int) -> dict[str, int]:
    most = max(1, NUMBERS // triton.next_power_of_2(width))
    rule = {"HEADS": min(most, triton.next_power_of_2(max(heads, kv_heads))), "num_warps": 4}
    return {**rule, **(tuned("qk_norm_rope_cache", x.device, f"{heads}+{kv_heads}x{width}") or {})}


@triton.jit
def _qk_norm_rope_cache(
    qkv_ptr, slots_ptr, q_weight_ptr, k_weight_ptr, cos_ptr, sin_ptr, qk_ptr, k_ptr, v_ptr,
    stride_t, k_stride, v_stride, eps,
    H: tl.constexpr, G: tl.constexpr, K: tl.constexpr, V: tl.constexpr, R: tl.constexpr, PAGE: tl.constexpr,
    INTERLEAVED: tl.constexpr, NORM: tl.constexpr, LAST: tl.constexpr, OFFSET: tl.constexpr, CAST_FIRST: tl.constexpr,
    HEADS: tl.constexpr, BLOCK: tl.constexpr, VALUES: tl.constexpr,
):  # fmt: skip
    t, part = tl.program_id(0).to(tl.int64), tl.program_id(1)  # t * stride_t can pass 2**31
    slot = tl.load(slots_ptr + t).to(tl.int64)
    page, row = slot // PAGE, slot % PAGE
    q_parts: tl.constexpr = (H + HEADS - 1) // HEADS
    k_parts: tl.constexpr = (G + HEADS - 1) // HEADS
    number = tl.arange(0, HEADS)[:, None]
    if part < q_parts + k_parts:
        is_key = part >= q_parts
        head = tl.where(is_key, part - q_parts, part) * HEADS + number
        there = head < tl.where(is_key, G, H)
        both = head + tl.where(is_key, H, 0)
        q_stop, k_stop = tl.where(is_key, 0, K), tl.where(is_key, K, 0)
        col = tl.arange(0, BLOCK)[None, :]
        mask = there & (col < K)
        x_ptr = qkv_ptr + t * stride_t + both * K
        x = tl.load(x_ptr + col, mask=mask, other=0.0).to(tl.float32)
        if NORM and not LAST:
            scale = tl.rsqrt(tl.sum(x * x, 1)[:, None] / K + eps)
            x = _normed(x, scale, q_weight_ptr, k_weight_ptr, q_stop, k_stop, col, OFFSET, CAST_FIRST, qk_ptr)
        if R > 0:  # the other of each pair is read again: it is near by then
            turns = col < R
            other = col ^ 1 if INTERLEAVED else tl.where(col < R // 2, col + R // 2, col - R // 2)
            y = tl.load(x_ptr + other, mask=there & turns, other=0.0).to(tl.float32)
            if NORM and not LAST:
                y = _normed(y, scale, q_weight_ptr, k_weight_ptr, q_stop, k_stop, other, OFFSET, CAST_FIRST, qk_ptr)
            cos = tl.load(cos_ptr + t * R + col, mask=turns, other=1.0).to(tl.float32)
            sin = tl.load(sin_ptr + t * R + col, mask=turns, other=0.0).to(tl.float32)
            x = x * cos + y * sin
        if NORM and LAST:
            scale = tl.rsqrt(tl.sum(x * x, 1)[:, None] / K + eps)
            x = _normed(x, scale, q_weight_ptr, k_weight_ptr, q_stop, k_stop, col, OFFSET, CAST_FIRST, qk_ptr)
        x = x.to(qk_ptr.dtype.element_ty)
        tl.store(qk_ptr + (t * (H + G) + both) * K + col, x, mask=mask)
        kept = head < tl.where(is_key & (slot >= 0), G, 0)
        tl.store(k_ptr + page * k_stride + (head * PAGE + row) * K + col, x, mask=mask & kept)
    elif slot >= 0:
        head = (part - q_parts - k_parts) * HEADS + number
        col = tl.arange(0, VALUES)[None, :]
        mask = (head < G) & (col < V)
        v = tl.load(qkv_ptr + t * stride_t + (H + G) * K + head * V + col, mask=mask)
        tl.store(v_ptr + page * v_stride + (head * PAGE + row) * V + col, v, mask=mask)


@triton.jit
def _normed(
    x, scale, q_weight_ptr, k_weight_ptr, q_stop, k_stop, col, OFFSET: tl.constexpr, CAST_FIRST: tl.constexpr, like_ptr
):  # fmt: skip
    """x times `scale`, and the weight of these columns, in the order of casts that rms_norm has."""
    x = x * scale
    if CAST_FIRST:
        x = x.to(like_ptr.dtype.element_ty).to(tl.float32)
    if q_weight_ptr is not None:
        weight = tl.load(q_weight_ptr + col, mask=col < q_stop, other=0.0).to(tl.float32)
        weight += tl.load(k_weight_ptr + col, mask=col < k_stop, other=0.0).to(tl.float32) + OFFSET
        if CAST_FIRST:
            weight = weight.to(like_ptr.dtype.element_ty).to(tl.float32)
        x = x * weight
    return x
