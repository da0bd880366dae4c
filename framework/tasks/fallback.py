"""Speech written down anew, more freely, where what was written repeats itself or is hardly believed by the model.

Radford and others 2022, arXiv 2212.04356, section 4.5.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from triptych.errors import OptionError, Problem


@dataclass(frozen=True)
class Fallback:
    """A clip is written down at the first of `temperatures`, and at the next where that is poor; the last one stands.

    Poor is what compresses better than `ratio`, or whose tokens have a mean logprob below `logprob`; None asks for
    neither. Of the latter a clip has no text at all that is silence to the model with a probability above `silence`.
    Draws are those of `seed`.
    """

    temperatures: tuple[float, ...] = (0.0,)
    ratio: float | None = None
    logprob: float | None = None
    silence: float | None = None
    seed: int | None = None

    @classmethod
    def of(
        cls,
        temperature: float | Sequence[float],
        *,
        ratio: float | None,
        logprob: float | None,
        silence: float | None,
        seed: int | None,
    ) -> Fallback:
        """Raises OptionError for temperatures that are none, for several with nothing to choose the next by, and for
        silence by its probability alone.
        """
        given = tuple(temperature) if isinstance(temperature, Sequence) else (temperature,)
        problems = []
        if not given or any(isinstance(t, bool) or not isinstance(t, int | float) or not t >= 0 for t in given):
            problems.append(Problem("a number from 0 on is wanted, or a list of them", "temperature"))
        elif len(given) > 1 and ratio is None and logprob is None:
            told = "of several the next is taken where compression_ratio_threshold or logprob_threshold says so"
            problems.append(Problem(f"{told}; give one of these, or one temperature", "temperature"))
        thresholds = {"compression_ratio": ratio, "logprob": logprob, "no_speech": silence}
        problems += [
            Problem(f"is {value!r}; a finite number is wanted", f"{name}_threshold")
            for name, value in thresholds.items()
            if value is not None
            and (isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value))
        ]
        if silence is not None and not 0 <= silence <= 1:
            problems.append(Problem(f"is {silence!r}; a probability is wanted, 0 to 1", "no_speech_threshold"))
        if silence is not None and logprob is None:
            told = (
                "a clip is silent that is hardly believed too; give logprob_threshold, which says how little (-1, say)"
            )
            problems.append(Problem(told, "no_speech_threshold"))
        if problems:
            raise OptionError(problems)
        return cls(tuple(map(float, given)), ratio, logprob, silence, seed)

    def is_poor(self, token_ids: Sequence[int], *, vocab_size: int, mean_logprob: float) -> bool:
        """Whether a clip is to be written down anew; `token_ids` have the one that ended the answer."""
        repeats = self.ratio is not None and compression_ratio(token_ids, vocab_size) > self.ratio
        return repeats or self.is_unsure(mean_logprob)

    def is_unsure(self, mean_logprob: float) -> bool:
        return self.logprob is not None and mean_logprob < self.logprob


def compression_ratio(token_ids: Sequence[int], vocab_size: int) -> float:
    """How many times shorter zlib makes the tokens, each written in as few bytes as the vocabulary needs."""
    size = (max(vocab_size, 2).bit_length() - 1) // 8 + 1
    raw = b"".join(token.to_bytes(size, "little") for token in token_ids)
    return len(raw) / len(zlib.compress(raw))
