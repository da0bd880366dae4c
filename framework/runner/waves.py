"""Which requests run together: as many as are allowed and as the memory for their cache holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from triptych.errors import InputError
from triptych.parts.cache import Cache
from triptych.parts.cache_needs import Rows
from triptych.runner.memory import cache_budget
from triptych.runner.request import RunOptions

MIB = 2**20


def waves(lengths: Sequence[tuple[int, int]], needs: Mapping[str, Rows], run: RunOptions) -> Iterator[list[int]]:
    """Numbers of requests that run together, in order. `lengths`: tokens of each prompt and of the longest answer.

    Each holds as many rows of the cache as the longest of its wave. Raises InputError, before the first wave, for a
    request that alone needs more memory than there is.
    """
    sizes = _Sizes(needs, run)
    for prompt, answer in lengths:
        sizes.check(prompt, answer)
    wave: list[int] = []
    for number in range(len(lengths)):
        longest = max(rows(*lengths[n]) for n in (*wave, number))
        if wave and (len(wave) == run.max_batch or not sizes.fit(len(wave) + 1, longest)):
            yield wave
            wave = []
        wave.append(number)
    if wave:
        yield wave


def rows(prompt: int, answer: int) -> int:
    """Rows that a request of these lengths takes: the last token drawn is read by no layer."""
    return prompt + answer - 1


class _Sizes:
    """What a cache takes, against what may be taken."""

    def __init__(self, needs: Mapping[str, Rows], run: RunOptions) -> None:
        self._budget = cache_budget(run.device) if run.cache_bytes is None else run.cache_bytes
        self._needs, self._dtype = needs, run.dtype

    def fit(self, slots: int, capacity: int) -> bool:
        return self._budget is None or self._bytes(slots, capacity) <= self._budget

    def check(self, prompt: int, answer: int) -> None:
        if self._budget is None or self.fit(1, needed := rows(prompt, answer)):
            return
        room = self._budget // self._bytes(1, 1)
        sizes = f"{self._bytes(1, needed) / MIB:,.1f} MiB of cache, and {self._budget / MIB:,.1f} MiB may be taken"
        fits = f"max_tokens={room + 1 - prompt} would fit" if room >= prompt else f"{room} tokens would fit"
        raise InputError(f"a prompt of {prompt} tokens with max_tokens={answer} needs {sizes}; {fits}")

    def _bytes(self, slots: int, capacity: int) -> int:
        return Cache.nbytes(self._needs, slots=slots, capacity=capacity, dtype=self._dtype)
