"""How large a cache is: how many pages of how many rows, for how many requests at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from triptych.errors import InputError, OptionError
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.parts.cache_needs import CacheNeed
from triptych.runner.failures import room_for
from triptych.runner.layouts import Room
from triptych.runner.memory import cache_budget
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.request import RunOptions, check_counts

MIB = 2**20
ON_HOST = 2**32  # bytes that a cache for whatever comes takes of the memory of a host, where others live too


@dataclass(frozen=True)
class Sizes:
    """How a cache is cut, for `seqs` requests at a time of at most `longest` rows."""

    layout: Layout
    seqs: int
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[tuple[int, int]], needs: Mapping[str, CacheNeed], run: RunOptions) -> Sizes:
        """For requests of these lengths: tokens of the prompt, and of the longest answer.

        Raises InputError for the first request that alone needs more memory than there is.
        """
        seqs, longest = min(run.max_batch, len(lengths)), max(rows(*each) for each in lengths)
        memory = _Memory.of(needs, run)
        for prompt, answer in lengths:
            if (most := memory.room.longest(needed := rows(prompt, answer))) < needed:
                left, told = most + 1 - prompt, memory.told(needed)
                fits = f"max_tokens={left} would fit" if left > 0 else _fitting(f"{most} tokens", most)
                raise InputError(f"a prompt of {prompt} tokens with max_tokens={answer} needs {told}; {fits}")
        return cls._within(memory.room, seqs=seqs, longest=longest)

    @classmethod
    def for_any(cls, model: TextGenerationModel, run: RunOptions, *, longest: int | None) -> Sizes:
        """For whatever comes, of at most `longest` tokens; without it, of as many as the model takes.

        Raises OptionError for a length that is none, or more than the model or the memory takes.
        """
        longest = length_of(model, longest)
        memory = _Memory.of(model.cache_needs(), run, most=ON_HOST if run.device.type == "cpu" else None)
        if (most := memory.room.longest(longest)) < longest:
            message = f"a request of {longest} tokens needs {memory.told(longest)}"
            raise OptionError(f"{message}; {_fitting(f'max_model_len={most}', most)}", path="kv_cache_memory")
        return cls._within(memory.room, seqs=run.max_batch, longest=longest)

    def cache(self, run: RunOptions) -> Cache:
        """A cache of this size. Raises OutOfMemoryError where there is no memory for it."""
        told = f"a cache of {self.layout.nbytes(run.dtype) / MIB:,.1f} MiB"
        with room_for(told, less="a smaller kv_cache_memory, max_model_len or max_num_seqs takes less"):
            return Cache(self.layout, dtype=run.dtype, device=run.device)

    @classmethod
    def _within(cls, room: Room, *, seqs: int, longest: int) -> Sizes:
        layout = room.layout(seqs=seqs, longest=longest)
        assert layout is not None, "a request that fits alone fits"
        return cls(layout, min(seqs, layout.slots), longest)


@dataclass(frozen=True)
class _Memory:
    """Bytes that may be taken, None where the system does not say; how many each number takes, and what fits."""

    budget: int | None
    itemsize: int
    room: Room

    @classmethod
    def of(cls, needs: Mapping[str, CacheNeed], run: RunOptions, *, most: int | None = None) -> _Memory:
        budget = run.cache_bytes
        if budget is None and (budget := cache_budget(run.device)) is not None and most is not None:
            budget = min(budget, most)
        itemsize = run.dtype.itemsize
        return cls(budget, itemsize, Room(needs, None if budget is None else budget // itemsize, run.dtype))

    def told(self, count: int) -> str:
        """What a request of so many rows takes, beside what may be taken."""
        assert self.budget is not None
        needed = self.room.taken(count) * self.itemsize
        return f"{needed / MIB:,.1f} MiB of cache, and {self.budget / MIB:,.1f} MiB may be taken"


def _fitting(what: str, rows: int) -> str:
    return f"{what} would fit" if rows else "no request would fit"


def rows(prompt: int, answer: int) -> int:
    """Rows that a request of these lengths takes: the last token drawn is read by no layer."""
    return prompt + answer - 1


def length_of(model: TextGenerationModel, longest: int | None) -> int:
    """How many tokens a request may have: as many as are asked for, else as the model takes.

    Raises OptionError for a length that is none, or more than the model takes.
    """
    if longest is None and model.context is None:
        raise OptionError("the model has no length of its own; a number of tokens is needed", path="max_model_len")
    found = model.context if longest is None else longest
    assert found is not None
    check_counts(max_model_len=found)
    if model.context is not None and found > model.context:
        raise OptionError(f"is {found}, and the model takes at most {model.context}", path="max_model_len")
    return found
