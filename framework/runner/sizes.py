"""How large a cache is: how many pages of how many rows, for how many requests at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from triptych.errors import InputError, OptionError
from triptych.parts.cache import Cache
from triptych.parts.cache_needs import Rows
from triptych.runner.memory import cache_budget
from triptych.runner.prefix import BLOCK
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.request import RunOptions, check_counts

MIB = 2**20
ON_HOST = 2**32  # bytes that a cache for whatever comes takes of the memory of a host, where others live too


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

        Raises InputError for the first request that alone needs more memory than there is.
        """
        seqs, longest = min(run.max_batch, len(lengths)), max(rows(*each) for each in lengths)
        memory = _Memory.of(needs, run)
        for prompt, answer in lengths:
            if memory.room is not None and (needed := rows(prompt, answer)) > memory.room:
                left = memory.room + 1 - prompt
                fits = f"max_tokens={left} would fit" if left > 0 else f"{memory.room} tokens would fit"
                told = memory.told(needed)
                raise InputError(f"a prompt of {prompt} tokens with max_tokens={answer} needs {told}; {fits}")
        return cls._within(memory.room, seqs=seqs, longest=longest)

    @classmethod
    def for_any(cls, model: TextGenerationModel, run: RunOptions, *, longest: int | None) -> Sizes:
        """For whatever comes, of at most `longest` tokens; without it, of as many as the model takes.

        Raises OptionError for a length that is none, or more than the model or the memory takes.
        """
        longest = _length(model, longest)
        memory = _Memory.of(model.cache_needs(), run, most=ON_HOST if run.device.type == "cpu" else None)
        if memory.room is not None and memory.room < longest:
            message = f"a request of {longest} tokens needs {memory.told(longest)}"
            raise OptionError(f"{message}; max_model_len={memory.room} would fit", path="kv_cache_memory")
        return cls._within(memory.room, seqs=run.max_batch, longest=longest)

    @classmethod
    def _within(cls, room: int | None, *, seqs: int, longest: int) -> Sizes:
        """A page for each request where there is room for it, which is read in place.

        Else pages are as long as gives each request one, and longer requests take several.
        """
        if room is None or seqs * longest <= room:
            return cls(seqs, longest, seqs, longest)
        page = max(room // seqs // BLOCK, 1) * BLOCK
        if page >= longest or room // page * page < longest:
            page = longest
        return cls(room // page, page, seqs, longest)


@dataclass(frozen=True)
class _Memory:
    """What may be taken, and what a row takes, in bytes; no `budget` where the system does not say."""

    budget: int | None
    row: int

    @classmethod
    def of(cls, needs: Mapping[str, Rows], run: RunOptions, *, most: int | None = None) -> _Memory:
        budget = run.cache_bytes
        if budget is None and (budget := cache_budget(run.device)) is not None and most is not None:
            budget = min(budget, most)
        return cls(budget, Cache.nbytes(needs, pages=1, page=1, dtype=run.dtype))

    @property
    def room(self) -> int | None:
        """Rows for which there is room; None for as many as one likes."""
        return self.budget // self.row if self.budget is not None and self.row else None

    def told(self, count: int) -> str:
        """What so many rows take, beside what may be taken."""
        assert self.budget is not None
        return f"{count * self.row / MIB:,.1f} MiB of cache, and {self.budget / MIB:,.1f} MiB may be taken"


def rows(prompt: int, answer: int) -> int:
    """Rows that a request of these lengths takes: the last token drawn is read by no layer."""
    return prompt + answer - 1


def _length(model: TextGenerationModel, longest: int | None) -> int:
    if longest is None and model.context is None:
        raise OptionError("the model has no length of its own; a number of tokens is needed", path="max_model_len")
    found = model.context if longest is None else longest
    assert found is not None
    check_counts(max_model_len=found)
    if model.context is not None and found > model.context:
        raise OptionError(f"is {found}, and the model takes at most {model.context}", path="max_model_len")
    return found
