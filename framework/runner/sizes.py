"""How large a cache is: how many pages of how many rows, for how many requests at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from triptych.errors import InputError
from triptych.parts.cache import Cache
from triptych.parts.cache_needs import Rows
from triptych.runner.memory import cache_budget
from triptych.runner.request import RunOptions

MIB = 2**20
PAGE = 16  # rows of a page, where a request has several


@dataclass(frozen=True)
class Sizes:
    """`pages` of `page` rows each, for `seqs` requests at a time of at most `longest` rows."""

    pages: int
    page: int
    seqs: int
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[tuple[int, int]], needs: Mapping[str, Rows], run: RunOptions) -> Sizes:
        """For requests of these lengths: tokens of the prompt, and of the longest answer.

        Where there is room for it each request has one page, which is read in place; else pages are small, and each
        request has as many as it needs. Raises InputError for the first request that alone needs more than there is.
        """
        longest, seqs = max(rows(*each) for each in lengths), min(run.max_batch, len(lengths))
        budget = cache_budget(run.device) if run.cache_bytes is None else run.cache_bytes
        row = Cache.nbytes(needs, pages=1, page=1, dtype=run.dtype)
        if budget is None or seqs * longest * row <= budget:
            return cls(seqs, longest, seqs, longest)
        for each in lengths:
            _check(*each, row=row, budget=budget)
        small = budget // (PAGE * row)
        if longest > PAGE and small * PAGE >= longest:
            return cls(small, PAGE, seqs, longest)
        few = budget // (longest * row)
        return cls(few, longest, few, longest)


def _check(prompt: int, answer: int, *, row: int, budget: int) -> None:
    room = budget // row
    if (needed := rows(prompt, answer)) <= room:
        return
    sizes = f"{needed * row / MIB:,.1f} MiB of cache, and {budget / MIB:,.1f} MiB may be taken"
    fits = f"max_tokens={room + 1 - prompt} would fit" if room >= prompt else f"{room} tokens would fit"
    raise InputError(f"a prompt of {prompt} tokens with max_tokens={answer} needs {sizes}; {fits}")


def rows(prompt: int, answer: int) -> int:
    """Rows that a request of these lengths takes: the last token drawn is read by no layer."""
    return prompt + answer - 1
