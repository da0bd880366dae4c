"""merge on a GPU: some tokens a program, each row read and written once; it counts the items before by itself."""

# T tokens, V vocabulary, N rows of items, D width

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.tuned import tuned

MOST = 16384  # tokens before which items are counted by whoever comes after; of more, they are counted once
MANY = 2048  # tokens, of which a program takes several


def refuses(table_VD: Tensor, rows_ND: Tensor) -> str | None:
    """Why a call cannot run here."""
    if rows_ND.dtype != table_VD.dtype:
        return f"rows of items are {rows_ND.dtype}, those of the table {table_VD.dtype}"
    if torch.is_grad_enabled() and (table_VD.requires_grad or rows_ND.requires_grad):
        return "gradients are asked of what it gives"
    return None


def merge(ids_T: Tensor, table_VD: Tensor, rows_ND: Tensor, is_item_T: Tensor, *, scale: float) -> Tensor:
    (T,), (N, D) = ids_T.shape, rows_ND.shape
    table_VD, rows_ND = (x if x.stride(1) == 1 else x.contiguous() for x in (table_VD, rows_ND))
    y_TD = torch.empty(T, D, dtype=table_VD.dtype, device=table_VD.device)
    if not y_TD.numel():
        return y_TD
    block = min(2048, triton.next_power_of_2(D))
    rule = {"ROWS": max(4 if T > MANY else 1, 1024 // block), "num_warps": 8 if T > MANY else 4}
    tile = {**rule, **(tuned("merge", table_VD.device, str(block)) or {})}
    is_item_T = is_item_T.contiguous()
    _merge[(triton.cdiv(T, tile["ROWS"]),)](
        ids_T.contiguous(), table_VD, rows_ND, is_item_T.view(torch.uint8), y_TD,
        is_item_T.cumsum(0, dtype=torch.int32) if T > MOST else None,
        T, N, table_VD.stride(0), rows_ND.stride(0),
        D=D, SCALE=scale, BLOCK=block, CHUNK=4096, **tile,
    )  # fmt: skip
    return y_TD


@triton.jit(do_not_specialize=["count", "items"])
def _merge(
    ids_ptr, table_ptr, rows_ptr, is_item_ptr, y_ptr, places_ptr, count, items, table_stride, rows_stride,
    D: tl.constexpr, SCALE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0) * ROWS
    token = first + tl.arange(0, ROWS)
    is_item = tl.load(is_item_ptr + token, mask=token < count, other=0).to(tl.int32)
    if places_ptr is not None:
        place = tl.load(places_ptr + token, mask=token < count, other=0) - 1
    else:
        found = tl.zeros((CHUNK,), tl.int32)
        if tl.sum(is_item) > 0:
            for start in range(0, first, CHUNK):
                before = start + tl.arange(0, CHUNK)
                found += tl.load(is_item_ptr + before, mask=before < first, other=0).to(tl.int32)
        place = tl.sum(found) + tl.cumsum(is_item, 0) - 1
    row = tl.load(ids_ptr + token, mask=token < count, other=0).to(tl.int64)
    row, is_item, place = row[:, None], is_item[:, None], place[:, None].to(tl.int64)
    y_ptr += token[:, None].to(tl.int64) * D  # row * D can pass 2**31
    for start in tl.static_range(0, D, BLOCK):
        col = start + tl.arange(0, BLOCK)[None, :]
        there = (token[:, None] < count) & (col < D)
        text = tl.load(table_ptr + row * table_stride + col, mask=there & (is_item == 0), other=0.0)
        if SCALE != 1.0:
            rounded = tl.full((1, 1), SCALE, tl.float32).to(text.dtype).to(tl.float32)
            text = (text.to(tl.float32) * rounded).to(text.dtype)
        own = there & (is_item != 0)
        item = tl.load(rows_ptr + place * rows_stride + col, mask=own & (place < items), other=float("nan"))
        tl.store(y_ptr + col, tl.where(own, item, text), mask=there)
