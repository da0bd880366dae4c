"""The parts of rows whose keys were looked at by several programs, joined by the logarithms of their sums."""
# V head width

import triton
import triton.language as tl


@triton.jit
def combine(
    parts_ptr, lse_ptr, y_ptr, joins_ptr,
    HEADS: tl.constexpr, GROUP: tl.constexpr, V: tl.constexpr, BLOCK_V: tl.constexpr, M: tl.constexpr,
    AT_ONCE: tl.constexpr,
):  # fmt: skip
    """One packed row a program, in the order of its parts: the same numbers at every run."""
    join, j, group = joins_ptr + tl.program_id(0) * 5, tl.program_id(1), tl.program_id(2)
    row0, new, first = tl.load(join), tl.load(join + 1), tl.load(join + 2)
    part, parts = tl.load(join + 3), tl.load(join + 4)
    r = first + j
    if r < new * GROUP:
        cols, at_once = tl.arange(0, BLOCK_V), tl.arange(0, AT_ONCE)
        highest = tl.full((), float("-inf"), tl.float32)
        for i in tl.range(0, parts, AT_ONCE):
            at = ((part + i + at_once).to(tl.int64) * tl.num_programs(2) + group) * M + j
            lse = tl.load(lse_ptr + at, mask=i + at_once < parts, other=float("-inf"))
            highest = tl.maximum(highest, tl.max(lse, 0))
        total, y = tl.zeros((), tl.float32), tl.zeros((BLOCK_V,), tl.float32)
        for i in tl.range(0, parts, AT_ONCE):
            at = ((part + i + at_once).to(tl.int64) * tl.num_programs(2) + group) * M + j
            mask = i + at_once < parts
            weights = tl.exp2(tl.load(lse_ptr + at, mask=mask, other=float("-inf")) - highest)
            mask = mask[:, None] & (cols < V)[None, :]
            values = tl.load(parts_ptr + at[:, None] * V + cols[None, :], mask=mask, other=0.0)
            total += tl.sum(weights, 0)
            y += tl.sum(weights[:, None] * values, 0)
        at = (row0 + r // GROUP).to(tl.int64) * HEADS + group * GROUP + r % GROUP
        tl.store(y_ptr + at * V + cols, (y / total).to(y_ptr.dtype.element_ty), mask=cols < V)
