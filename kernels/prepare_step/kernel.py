"""prepare_step on a GPU: some tokens a program, each finds its request among the bounds.

That the host need not know the tokens, and sends one small buffer a step, is from vLLM's second runner (2026).
"""

# T tokens of a step, B requests of it, R rows of the table, L tokens of a request, N groups, P pages of a request

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.prepare_step.table import StepInputs, StepTable

TOKENS, REQUESTS = 128, 64  # of a program, and that it looks among at a time


def refuses(packed: Tensor, table: StepTable) -> str | None:
    """Why a call cannot run here."""
    if not all(each.is_contiguous() for each in (packed, *table)):
        return "the plan, or a part of the table, is not contiguous"
    narrow = (packed, *(each for each in table if each is not table.last))
    if table.last.dtype != torch.int64 or any(each.dtype != torch.int32 for each in narrow):
        return "whole numbers are not of 32 bits, or the tokens drawn last not of 64"
    return None


def prepare_step(packed: Tensor, table: StepTable, *, requests: int, size: int) -> StepInputs:
    (N, R, P), L = table.pages.shape, table.tokens.shape[1]
    numbers = torch.empty((2 + N) * size + requests, dtype=torch.int64, device=packed.device)
    ids, positions, slots, logit_rows = numbers.split_with_sizes((size, size, N * size, requests))
    lengths = torch.empty(requests, dtype=torch.int32, device=packed.device)
    if most := max(size, requests):
        _prepare_step[(triton.cdiv(most, TOKENS),)](
            packed, *table, ids, positions, slots, lengths, logit_rows, requests, size,
            R=R, L=L, P=P, N=N, TOKENS=TOKENS, REQUESTS=REQUESTS, num_warps=4,
        )  # fmt: skip
    return StepInputs(ids, positions, slots.view(N, size), lengths, logit_rows)


@triton.jit(do_not_specialize=["requests", "size"])
def _prepare_step(
    packed_ptr, tokens_ptr, known_ptr, last_ptr, computed_ptr, delta_ptr, pages_ptr, page_sizes_ptr,
    ids_ptr, positions_ptr, slots_ptr, lengths_ptr, logit_rows_ptr, requests, size,
    R: tl.constexpr, L: tl.constexpr, P: tl.constexpr, N: tl.constexpr, TOKENS: tl.constexpr, REQUESTS: tl.constexpr,
):  # fmt: skip
    bounds_ptr = packed_ptr + requests
    token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)

    asked = token < requests  # what there is of requests, by the same numbers
    row = tl.load(packed_ptr + token, mask=asked, other=0)
    start = tl.load(bounds_ptr + token, mask=asked, other=0)
    stop = tl.load(bounds_ptr + token + 1, mask=asked, other=0)
    tl.store(lengths_ptr + token, tl.load(computed_ptr + row, mask=asked, other=0) + stop - start, mask=asked)
    tl.store(logit_rows_ptr + token, tl.maximum(stop - 1, 0).to(tl.int64), mask=asked)

    request = tl.zeros((TOKENS,), tl.int32)
    for first in range(0, requests, REQUESTS):
        number = first + tl.arange(0, REQUESTS)
        stops = tl.load(bounds_ptr + number + 1, mask=number < requests, other=2147483647)
        request += tl.sum((stops[None, :] <= token[:, None]).to(tl.int32), 1)
    inside = token < size
    there = inside & (request < requests)
    row = tl.load(packed_ptr + request, mask=there, other=0).to(tl.int64)  # row * L can pass 2**31
    start = tl.load(bounds_ptr + request, mask=there, other=0)
    at = tl.load(computed_ptr + row, mask=there, other=0) + token - start
    is_known = at < tl.load(known_ptr + row, mask=there, other=0)
    known = tl.load(tokens_ptr + row * L + at, mask=there & is_known & (at < L), other=0).to(tl.int64)
    drawn = tl.load(last_ptr + row, mask=there, other=0)
    tl.store(ids_ptr + token, tl.where(is_known, known, drawn), mask=inside)
    position = tl.where(there, at + tl.load(delta_ptr + row, mask=there, other=0), 0)
    tl.store(positions_ptr + token, position.to(tl.int64), mask=inside)
    for group in tl.static_range(N):
        page_size = tl.load(page_sizes_ptr + group)
        number = at // page_size
        page = tl.load(pages_ptr + (group * R + row) * P + number, mask=there & (number < P), other=-1).to(tl.int64)
        slot = tl.where(page >= 0, page * page_size + at % page_size, -1)
        tl.store(slots_ptr + group * size + token, slot, mask=inside)
