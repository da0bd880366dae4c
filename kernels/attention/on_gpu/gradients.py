"""Attention over the rows of a step as autograd knows it."""
# T query rows, H heads, G key/value heads, K and V head widths

from __future__ import annotations

from math import e, log2
from typing import Any

import torch
from torch import Tensor

from triptych.kernels.attention.on_gpu import backward, sizes, work
from triptych.kernels.attention.on_gpu.launch import Rows, attend
from triptych.kernels.attention.on_gpu.seen import Seen


class Attention(torch.autograd.Function):
    """Keeps queries, keys, values, what came of them, and the sum of each row."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None, seen: Seen) -> Tensor:
        y = torch.empty(*q.shape[:2], v.shape[-1], dtype=q.dtype, device=q.device)
        lse = torch.empty(q.shape[:2], device=q.device)
        attend(Rows.own(q, k, v), y, seen, seen.spans.numbers, sinks=sinks, lse=lse)
        ctx.save_for_backward(q, k, v, sinks, y, lse)
        ctx.seen = seen
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, sinks, y, lse = ctx.saved_tensors
        delta = (grad.float() * y.float()).sum(-1)
        grads = _gradients(Rows.own(q, k, v), grad.contiguous(), lse, delta, ctx.seen)
        if sinks is None:
            return *grads, None, None
        of_sinks = -(torch.exp2(sinks.float() * log2(e) - lse) * delta).sum(0)
        return *grads, of_sinks.to(sinks.dtype), None


def _gradients(rows: Rows, grad: Tensor, lse: Tensor, delta: Tensor, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = rows.q, rows.k, rows.v
    grads = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v)]
    constants = seen.constants(q.shape[1], rows.groups, K=q.shape[-1], V=v.shape[-1])
    _, k_head, k_row, _, v_head, v_row = rows.strides
    strides = (q.stride(0), q.stride(1), k_head, k_row, v_head, v_row)
    given, numbers = (q, k, v, grad, lse, delta), (*strides, seen.factor, seen.scale)
    for kernel, of, out in ((backward.of_queries, "queries", grads[:1]), (backward.of_keys, "keys", grads[1:])):
        tile = sizes.backward_tile(of, rows.width, q.dtype, q.device)
        rows_of = (rows.group, tile["M"]) if of == "queries" else (1, tile["N"])
        items = _items(seen, *rows_of, q.device)
        kernel[(len(items), rows.groups)](
            *given, *out, items, seen.blocks(q.device), seen.slopes(q.device), *numbers, **constants, **tile
        )
    return grads[0], grads[1], grads[2]


def _items(seen: Seen, group: int, rows: int, device: torch.device) -> Tensor:
    def made() -> Tensor:
        whole = work.sequences(seen.spans, seen.spans.numbers, None)
        return work.tensor(work.tiles(whole, group=group, rows=rows), device)

    return seen.spans.once(("tiles", None, group, rows, device), made)
