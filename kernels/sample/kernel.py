"""sample on a GPU: a row a program, read once where nothing is limited, else twice and a little.

The one reading of a row without limits notes the largest logit of each block, and the sum of its weights. Nothing is
sorted. Of a limited row the first reading keeps the largest of every so many logits. As these are logits of
the row too, what stays of them alone tells a floor below which none of the row stays. The second reading notes the few
tokens above it, and among these the lowest logit that stays is searched for, between several pivots at a time (after
Park et al. 2026, "Qrita", arXiv 2602.01518, whose floor is a guess of a normal distribution). Where they are too many
to be noted it is searched for in the row.
"""

# B rows, V vocabulary

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from triptych.kernels.sample.blocks import SIZE
from triptych.kernels.tuned import tuned

if TYPE_CHECKING:
    from triptych.kernels.sample import Limits

ROOM = 8192  # tokens of a row that are noted
LEAST = tl.constexpr(-1e30)  # a logit that weighs nothing beside any other


def refuses(logits_BV: Tensor) -> str | None:
    """Why a call cannot run here."""
    if logits_BV.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"logits are {logits_BV.dtype}"
    return None


def sample(
    logits_BV: Tensor, state_B: Tensor, temperature_B: Tensor | None, limits: Limits | None
) -> tuple[Tensor, Tensor]:
    B, V = logits_BV.shape
    logits_BV = logits_BV if logits_BV.stride(1) == 1 else logits_BV.contiguous()
    tokens_B, tops_B = torch.empty(B, dtype=torch.int64, device=logits_BV.device), logits_BV.new_empty(B)
    block = min(2048, triton.next_power_of_2(V))
    rule = {"BLOCK": block, "num_warps": 8 if block > 1024 else 4}
    tile = {**rule, **(tuned("sample", logits_BV.device, str(triton.next_power_of_2(V))) or {})}
    if B:
        blocks, room = triton.cdiv(V, SIZE), min(ROOM, V)
        sums = logits_BV.new_empty(B, 2, blocks, dtype=torch.float32) if temperature_B is not None else None
        noted = logits_BV.new_empty(B, room, dtype=torch.int32) if sums is not None and limits else None
        # told how many registers there are, the assembler does not spill to have room for more blocks
        _sample[(B,)](
            logits_BV, state_B.contiguous(), None if temperature_B is None else temperature_B.contiguous(),
            *((each.contiguous() for each in limits) if limits else (None,) * 3), sums, noted, tokens_B, tops_B,
            logits_BV.stride(0), V=V, ROOM=room, SIZE=min(SIZE, block), COUNT=triton.next_power_of_2(blocks),
            FIRST=SIZE, PART=min(256, block), PIVOTS=16, maxnreg=128, **tile,
        )  # fmt: skip
    return tokens_B, tops_B


@triton.jit
def _sample(
    logits_ptr, state_ptr, temperature_ptr, top_k_ptr, top_p_ptr, min_p_ptr, sums_ptr, noted_ptr, tokens_ptr, tops_ptr,
    stride, V: tl.constexpr, ROOM: tl.constexpr, SIZE: tl.constexpr, COUNT: tl.constexpr, FIRST: tl.constexpr,
    BLOCK: tl.constexpr, PART: tl.constexpr, PIVOTS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)  # row * stride can pass 2**31
    logits_ptr += row * stride
    if temperature_ptr is None:
        token, top = _likeliest(logits_ptr, V, BLOCK)
    else:
        temperature = tl.load(temperature_ptr + row).to(tl.float32)
        low, high = _words(tl.load(state_ptr + row))
        blocks: tl.constexpr = (V + SIZE - 1) // SIZE
        sums_ptr += row * 2 * blocks
        if noted_ptr is not None:
            top_k = tl.load(top_k_ptr + row).to(tl.int32)
            top_p = tl.load(top_p_ptr + row).to(tl.float32)
            min_p = tl.load(min_p_ptr + row).to(tl.float32)
            limited = (top_k < V) | (top_p < 1) | (min_p > 0)
        if temperature > 0:
            scale = 1.0 / temperature
            if noted_ptr is None:
                token, top = _of_all(logits_ptr, sums_ptr, scale, low, high, V, SIZE, COUNT, FIRST, BLOCK)
            elif limited:
                token, top = _of_some(
                    logits_ptr, noted_ptr + row * ROOM, scale, top_k, top_p, min_p, low, high,
                    V, ROOM, BLOCK, PART, PIVOTS,
                )  # fmt: skip
            else:
                token, top = _of_all(logits_ptr, sums_ptr, scale, low, high, V, SIZE, COUNT, FIRST, BLOCK)
        else:
            token, top = _likeliest(logits_ptr, V, BLOCK)
    tl.store(tokens_ptr + row, token.to(tl.int64))
    tl.store(tops_ptr + row, top.to(tops_ptr.dtype.element_ty))


@triton.jit
def _likeliest(logits_ptr, V: tl.constexpr, BLOCK: tl.constexpr):
    best, place = tl.full((BLOCK,), float("-inf"), tl.float32), tl.zeros((BLOCK,), tl.int32)
    wrong = tl.zeros((BLOCK,), tl.int32)
    for start in tl.range(0, V, BLOCK, num_stages=3):
        token = start + tl.arange(0, BLOCK)
        x = tl.load(logits_ptr + token, mask=token < V, other=float("-inf")).to(tl.float32)
        wrong |= _wrong(x)
        better = x > best
        best, place = tl.where(better, x, best), tl.where(better, token, place)
    return _first(best, place), _top(best, wrong)


@triton.jit
def _of_all(
    logits_ptr, sums_ptr, scale, low, high,
    V: tl.constexpr, SIZE: tl.constexpr, COUNT: tl.constexpr, FIRST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    blocks: tl.constexpr = (V + SIZE - 1) // SIZE
    wrong = tl.zeros((BLOCK,), tl.int32)
    for start in tl.range(0, V, BLOCK, num_stages=3):
        token = start + tl.arange(0, BLOCK)
        x = tl.load(logits_ptr + token, mask=token < V, other=float("-inf")).to(tl.float32)
        wrong |= _wrong(x)
        x = tl.reshape(x, (BLOCK // SIZE, SIZE))
        top = tl.max(x, 1)
        weights = tl.exp((x - tl.where(top > float("-inf"), top, 0.0)[:, None]) * scale)
        block = start // SIZE + tl.arange(0, BLOCK // SIZE)
        tl.store(sums_ptr + block, top, mask=block < blocks)
        tl.store(sums_ptr + blocks + block, tl.sum(weights, 1), mask=block < blocks)
    tl.debug_barrier()  # what one thread notes others read
    block = tl.arange(0, COUNT)
    tops = tl.load(sums_ptr + block, mask=block < blocks, other=float("-inf"))
    sums = tl.load(sums_ptr + blocks + block, mask=block < blocks, other=0.0)
    top = tl.max(tops, 0)
    z = (tops - top) * scale + tl.log(tl.maximum(sums, 1.0))  # the largest alone weighs 1
    found = _drawn(block, z, block.to(tl.uint32) + FIRST, low, high)
    token = found * SIZE + tl.arange(0, SIZE)
    x = tl.load(logits_ptr + token, mask=token < V, other=float("-inf")).to(tl.float32)
    return _drawn(token, (x - tl.max(x, 0)) * scale, tl.arange(0, SIZE).to(tl.uint32), low, high), _top(tops, wrong)


@triton.jit
def _drawn(place, z, number, low, high):
    """One of these places; the first where none is likelier than another, and where they are no numbers."""
    z = tl.where(z < float("inf"), z + _noise(number, low, high), float("-inf"))
    return _first(z, place)


@triton.jit
def _wrong(x):
    """1 for NaN."""
    return tl.where(x <= float("inf"), 0, 1)


@triton.jit
def _top(tops, wrong):
    """The largest, NaN where something was wrong."""
    return tl.where(tl.max(wrong, 0) > 0, float("nan"), tl.max(tops, 0))


@triton.jit
def _of_some(
    logits_ptr, noted_ptr, scale, top_k, top_p, min_p, low, high,
    V: tl.constexpr, ROOM: tl.constexpr, BLOCK: tl.constexpr, PART: tl.constexpr, PIVOTS: tl.constexpr,
):  # fmt: skip
    top, whole, floor, told = _surveyed(logits_ptr, scale, top_k, top_p, min_p, V, BLOCK)
    found = _note(logits_ptr, noted_ptr, floor, V, ROOM, BLOCK)
    is_noted = found <= ROOM
    count = tl.where(is_noted, found, V)
    least = _key(floor).to(tl.int64)
    for goal in range(2):  # the top_k likeliest, then the share top_p
        asked = tl.where(goal == 0, top_k < V, top_p < 1)
        wanted = tl.where(goal == 0, top_k.to(tl.float64), top_p.to(tl.float64) * whole)
        stop = tl.where(asked, _key(top).to(tl.int64) + 1, least)
        while stop - least > 1:
            pivots = least + (stop - least) * (1 + tl.arange(0, PIVOTS)) // (PIVOTS + 1)
            sums = tl.zeros((PIVOTS,), tl.float64)
            for start in range(0, count, PART):
                token, x = _some(logits_ptr, noted_ptr, start, count, is_noted, PART)
                weight = tl.where(goal == 0, 1.0, tl.exp((x - top) * scale))
                above = (_key(x)[:, None] >= pivots.to(tl.int32)[None, :]) & (token < V)[:, None]
                sums += tl.sum(tl.where(above, weight[:, None], 0.0), 0).to(tl.float64)
            enough = sums >= wanted
            before = least
            least = tl.max(tl.where(enough, pivots, least), 0)
            stop = tl.min(tl.where(enough, stop, tl.maximum(pivots, before)), 0)
        if asked & (goal == 0):
            whole = tl.sum(tl.zeros((PIVOTS,), tl.float64), 0)
            for start in range(0, count, PART):
                token, x = _some(logits_ptr, noted_ptr, start, count, is_noted, PART)
                above = (_key(x).to(tl.int64) >= least) & (token < V)
                whole += tl.sum(tl.where(above, tl.exp((x - top) * scale), 0.0), 0).to(tl.float64)
    best, place = tl.full((PART,), float("-inf"), tl.float32), tl.zeros((PART,), tl.int32)
    for start in range(0, count, PART):
        token, x = _some(logits_ptr, noted_ptr, start, count, is_noted, PART)
        z = (x - top) * scale
        stays = (_key(x).to(tl.int64) >= least) & (tl.exp(z) >= min_p) & (token < V)
        z = tl.where(stays, z + _noise(token.to(tl.uint32), low, high), float("-inf"))
        better = z > best
        best, place = tl.where(better, z, best), tl.where(better, token, place)
    return _first(best, place), told


@triton.jit
def _surveyed(logits_ptr, scale, top_k, top_p, min_p, V: tl.constexpr, BLOCK: tl.constexpr):
    """The largest logit, the weight of all, a floor below which none stays, and what the largest is told to be."""
    found, wrong = tl.full((BLOCK,), float("-inf"), tl.float32), tl.zeros((BLOCK,), tl.int32)
    tops, sums = tl.full((BLOCK,), LEAST, tl.float32), tl.zeros((BLOCK,), tl.float32)
    for start in tl.range(0, V, BLOCK, num_stages=3):
        token = start + tl.arange(0, BLOCK)
        x = tl.load(logits_ptr + token, mask=token < V, other=float("-inf")).to(tl.float32)
        found, wrong = tl.where(x > found, x, found), wrong | _wrong(x)
        higher = tl.maximum(tops, x)
        sums = sums * tl.exp((tops - higher) * scale) + tl.exp((x - higher) * scale)
        tops = higher
    top = tl.max(tops, 0)
    weights = tl.exp((tops - top) * scale)
    whole = tl.sum(sums * weights, 0)
    by_number = top_k < V
    wanted = tl.where(by_number, top_k.to(tl.float32), top_p * whole * 1.00001)
    weights = tl.where(by_number, 1.0, weights)
    keys = _key(tops)
    least, stop = _key(tl.full((1,), LEAST, tl.float32)).to(tl.int64), _key(top).to(tl.int64) + 1
    least = tl.sum(least, 0)
    for _ in range(20):  # to some thousandth of the logit
        middle = (least + stop) // 2
        enough = (tl.sum(tl.where(keys >= middle, weights, 0.0), 0) >= wanted) & (by_number | (top_p < 1))
        least, stop = tl.where(enough, middle, least), tl.where(enough, stop, middle)
    floor = _unkeyed(least)
    lowest = top + (tl.log(tl.where(min_p > 0, min_p, 1.0)) - 1e-3) / scale - tl.abs(top) * 1e-6
    # top_p is a share of the top_k, of which min_p may leave some out
    by_ratio = (min_p > 0) & ~(by_number & (top_p < 1))
    return top, whole.to(tl.float64), tl.where(by_ratio, tl.maximum(floor, lowest), floor), _top(found, wrong)


@triton.jit
def _note(logits_ptr, noted_ptr, floor, V: tl.constexpr, ROOM: tl.constexpr, BLOCK: tl.constexpr):
    """Note the tokens whose logits are not below the floor -> how many they are, be there room for them or not."""
    found = 0
    for start in tl.range(0, V, BLOCK, num_stages=3):
        token = start + tl.arange(0, BLOCK)
        x = tl.load(logits_ptr + token, mask=token < V, other=float("-inf")).to(tl.float32)
        stays = (x >= floor).to(tl.int32)
        count = tl.sum(stays, 0)
        if count > 0:
            place = found + tl.cumsum(stays, 0) - 1
            tl.store(noted_ptr + place, token, mask=(stays > 0) & (place < ROOM))
        found += count
    tl.debug_barrier()  # what one thread notes others read
    return found


@triton.jit
def _some(logits_ptr, noted_ptr, start, count, is_noted, PART: tl.constexpr):
    """Some tokens of those that may stay, a huge number where there is none, and their logits."""
    place = start + tl.arange(0, PART)
    noted = tl.load(noted_ptr + place, mask=place < tl.where(is_noted, count, 0), other=0)
    token = tl.where(place < count, tl.where(is_noted, noted, place), 2147483647)
    x = tl.load(logits_ptr + token, mask=place < count, other=float("-inf")).to(tl.float32)
    return token, x


@triton.jit
def _first(best, place):
    """The first place where the largest stands."""
    return tl.min(tl.where(best == tl.max(best, 0), place, 2147483647), 0)


@triton.jit
def _key(x):
    """Whole numbers in the order of floats."""
    bits = tl.where(x == 0, 0.0, x).to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def _unkeyed(key):
    bits = key.to(tl.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def _noise(number, low, high):
    """Gumbel's. Of a small uniform number u, -log(1 - u) is its series: what is left of 1 would be of few bits."""
    word = _stirred(_stirred(number ^ low) ^ high)
    u = tl.minimum(word.to(tl.float32) * 2.3283064365386963e-10 + 1.1641532182693481e-10, 0.99999994)
    series = u * (1.0 + u * (0.5 + u * (0.33333333 + u * 0.25)))
    return -tl.log(tl.where(u < 0.01, series, -tl.log(1.0 - u)))


@triton.jit
def _stirred(word):
    word = (word ^ (word >> 16)) * 0x7FEB352D
    word = (word ^ (word >> 15)) * 0x846CA68B
    return word ^ (word >> 16)


@triton.jit
def _words(state):
    word = state.to(tl.uint64)
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB
    word = word ^ (word >> 31)
    return (word & 0xFFFFFFFF).to(tl.uint32), (word >> 32).to(tl.uint32)
