"""What the kernels of attention share: the scores of a tile, which of them count, and which keys a tile looks at.

Rows of a tile are packed: row r is query r // GROUP of the sequence, in head r % GROUP of those that share keys. Scores
are logarithms to the base 2, so that weights are exp2 of them.
"""
# M packed rows at positions t, N keys at positions s

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def scores(products, scale, t, s, slope, factor, CAP: tl.constexpr, SHARP: tl.constexpr, ALIBI: tl.constexpr):
    """Scores [M, N] of products of queries and keys; all but their scale where nothing else is made of them.

    t, s and slopes are of a shape to go with them.
    """
    if CAP is not None:
        products = capped(products, scale, CAP)
    elif SHARP is not None or ALIBI is not None:
        products *= scale
    if SHARP is not None:
        products *= sharper(t, SHARP)
    if ALIBI is not None:
        products += lean(t, s, slope, factor, ALIBI)
    return products


@triton.jit
def unit(scale, CAP: tl.constexpr, SHARP: tl.constexpr, ALIBI: tl.constexpr):
    """What is left to multiply scores by: where it can, it goes into the exponent's fused multiply-add."""
    left = scale
    if CAP is not None or SHARP is not None or ALIBI is not None:
        left = 1.0
    return left


@triton.jit
def capped(products, scale, CAP: tl.constexpr):
    """CAP tanh(x / CAP) in a form that no size of x overflows; `scale` has 2 / CAP in it."""
    return CAP * LOG2E * (1.0 - 2.0 / (tl.exp2(products * scale) + 1.0))


@triton.jit
def sharper(t, SHARP: tl.constexpr):
    """max(1, log2(t) SHARP); of the position 0 that is 1."""
    return tl.maximum(tl.log2(tl.maximum(t, 1).to(tl.float32)) * SHARP, 1.0)


@triton.jit
def lean(t, s, slope, factor, ALIBI: tl.constexpr):
    """What ALiBi adds; slopes are negative, but for those of `scaled`, which takes them and positions as bfloat16."""
    apart = tl.abs(t - s).to(tl.float32)
    if ALIBI == "scaled":
        added = _rounded(slope * _rounded(s.to(tl.float32))) * factor
    elif ALIBI == "root":
        added = slope * tl.sqrt(apart)
    else:
        added = slope * apart
    return added


@triton.jit
def _rounded(x):
    """To the nearest bfloat16, as float32."""
    bits = x.to(tl.int32, bitcast=True)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & -65536
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def in_sight(
    t, s, starts, stops, CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr,
    BLOCKS: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """True where a query t sees a key s; `starts` and `stops` bound the blocks of queries that have one.

    The order counts: causal or of the same block, then within reach, then all of the block where it is seen whole.
    """
    seen = s <= t if CAUSAL else (s >= 0) & (t >= 0)
    if BLOCKS:
        own = (s >= starts) & (s < stops)
        seen = seen | own
    if WINDOW:
        seen = seen & (s > t - WINDOW)
    if CHUNK:
        seen = seen & (s >= t // CHUNK * CHUNK)
    if BLOCKS and WHOLE:
        seen = seen | own
    return seen


@triton.jit
def reach_of(t, WINDOW: tl.constexpr, CHUNK: tl.constexpr):
    """The first key that a query sees, its own block aside."""
    start = 0
    if WINDOW:
        start = tl.maximum(start, t - WINDOW + 1)
    if CHUNK:
        start = tl.maximum(start, t // CHUNK * CHUNK)
    return start


@triton.jit
def blocks_of(blocks_ptr, row, mask):
    """Where the blocks of rows begin and end; nowhere for a row that is in none."""
    at = blocks_ptr + row.to(tl.int64) * 2
    return tl.load(at, mask=mask, other=0), tl.load(at + 1, mask=mask, other=0)


@triton.jit
def keys_of(
    first_t, last_t, low, high, starts, stops, CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr,
    BLOCKS: tl.constexpr, WHOLE: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Of keys low to high those that queries first_t to last_t look at, and the tiles of N of them.

    Tiles from the second of the four numbers to below the third are seen by every query, and whole.
    """
    begin, end = tl.maximum(low, reach_of(first_t, WINDOW, CHUNK)), high
    full_from, full_to = tl.maximum(low, reach_of(last_t, WINDOW, CHUNK)), high
    if BLOCKS and WHOLE:
        begin = tl.maximum(low, tl.minimum(begin, tl.min(tl.where(stops > 0, starts, begin), 0)))
    if CAUSAL:
        end, full_to = tl.minimum(high, last_t + 1), tl.minimum(high, first_t + 1)
        if BLOCKS:
            end = tl.minimum(high, tl.maximum(end, tl.max(stops, 0)))
    tile0, tile3 = begin // N, tl.cdiv(end, N)
    tile1, tile2 = tl.maximum(tl.cdiv(full_from, N), tile0), full_to // N
    none = tile2 <= tile1
    return begin, end, tile0, tl.where(none, tile0, tile1), tl.where(none, tile0, tile2), tile3


@triton.jit
def queries_of(
    s, inside, low, high, starts, stops, CAUSAL: tl.constexpr, WINDOW: tl.constexpr, CHUNK: tl.constexpr,
    BLOCKS: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """Of queries low to high those that may look at any of the keys s, and the end of them."""
    first_s, last_s = tl.min(s, 0), tl.max(tl.where(inside, s, 0), 0)
    begin, end = low, high
    if WINDOW:
        end = tl.minimum(end, last_s + WINDOW)
    if CHUNK:
        end = tl.minimum(end, (last_s // CHUNK + 1) * CHUNK)
    if CAUSAL:
        begin = tl.maximum(low, first_s)
    if BLOCKS:
        begin = tl.maximum(low, tl.minimum(begin, tl.min(tl.where(stops > 0, starts, begin), 0)))
        if WHOLE:
            end = tl.minimum(high, tl.maximum(end, tl.max(stops, 0)))
    return begin, end
