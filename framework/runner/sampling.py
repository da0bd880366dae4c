"""How a token is drawn from logits: greedy, or by temperature, top-k and top-p from a seeded stream per request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from triptych.errors import OptionError, Problem, TriptychError, suggest

# B requests, V vocabulary
FIRST = 1024  # the likeliest tokens, which usually hold the share that top_p asks for: sorting all is slow


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """What one request asks for. Temperature 0 takes the likeliest token; top_k 0 and top_p 1 leave all in.

    A seed makes a request repeatable, whatever runs beside it; requests with equal prompts and seeds give equal tokens.
    Raises OptionError with everything that is wrong.
    """

    max_tokens: int = 16
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    stop: str | Sequence[str] = ()
    stop_token_ids: Sequence[int] = ()
    ignore_eos: bool = False

    @classmethod
    def of(cls, **options: Any) -> SamplingOptions:
        """Options by name. Raises OptionError for an unknown one, with the nearest name."""
        names = [each.name for each in fields(cls)]
        if unknown := [name for name in options if name not in names]:
            raise OptionError(Problem(f"no such option{suggest(name, names)}", name) for name in unknown)
        return cls(**options)

    def __post_init__(self) -> None:
        for name in ("stop", "stop_token_ids"):
            object.__setattr__(self, name, _listed(getattr(self, name)))
        if problems := [*self._problems()]:
            raise OptionError(problems)

    @property
    def limited(self) -> bool:
        """Whether some tokens are left out."""
        return self.top_k > 0 or self.top_p < 1

    @property
    def greedy(self) -> bool:
        return self.temperature == 0 or self.top_k == 1

    def _problems(self) -> Iterator[Problem]:
        if not _is_int(self.max_tokens) or self.max_tokens < 1:
            yield Problem(f"is {self.max_tokens!r}; a whole number from 1 on is needed", "max_tokens")
        if not _is_number(self.temperature) or not 0 <= self.temperature < math.inf:
            yield Problem(f"is {self.temperature!r}; a number from 0 on is needed, 0 for greedy", "temperature")
        if not _is_int(self.top_k) or self.top_k < 0:
            yield Problem(f"is {self.top_k!r}; a whole number from 0 on is needed, 0 for all tokens", "top_k")
        if not _is_number(self.top_p) or not 0 < self.top_p <= 1:
            yield Problem(f"is {self.top_p!r}; a number above 0 and up to 1 is needed, 1 for all tokens", "top_p")
        if self.seed is not None and not (_is_int(self.seed) and 0 <= self.seed < 2**63):
            yield Problem(f"is {self.seed!r}; a whole number from 0 to 2**63 - 1 is needed, or none", "seed")
        if not all(isinstance(text, str) and text for text in self.stop):
            yield Problem(f"is {self.stop!r}; texts with at least one character are needed", "stop")
        if not all(_is_int(token) and token >= 0 for token in self.stop_token_ids):
            yield Problem(f"is {self.stop_token_ids!r}; token ids are needed", "stop_token_ids")


class Sampler:
    """Draws one token for each of B requests, whose options and random streams it holds in the order of the batch."""

    def __init__(self, options: Sequence[SamplingOptions], *, device: torch.device) -> None:
        self._streams = [_stream(each.seed) for each in options]
        self._device = device
        self._set(options)

    def keep(self, rows: Sequence[int]) -> None:
        """The requests of these rows stay, in this order."""
        self._streams = [self._streams[row] for row in rows]
        self._set([self._options[row] for row in rows])

    def draw(self, logits_BV: Tensor) -> Tensor:
        """One token id per request, [B], int64. The requests of the batch are the rows of `logits_BV`."""
        highest, likeliest = logits_BV.max(-1)  # several times as fast as argmax on a CPU
        if highest.isnan().any():
            raise TriptychError(
                f"the model gave NaN as a logit in {logits_BV.dtype}; another dtype may help, float32 say"
            )
        return likeliest if self._greedy is None else torch.where(self._greedy, likeliest, self._draw(logits_BV))

    def _set(self, options: Sequence[SamplingOptions]) -> None:
        self._options = [*options]
        greedy = [each.greedy for each in options]
        self._greedy = None if all(greedy) else torch.tensor(greedy, device=self._device)
        self._limited = [row for row, each in enumerate(options) if each.limited and not each.greedy]
        warmth = [[1.0 if each.greedy else each.temperature] for each in options]
        self._temperature_B1 = torch.tensor(warmth, device=self._device)

    def _draw(self, logits_BV: Tensor) -> Tensor:
        """The token at which the running sum of the chances passes a uniform number of the request's own stream.

        Each row is treated alone and in the order of the vocabulary, so that its token does not depend on the others.
        """
        chances_BV = (logits_BV.float() / self._temperature_B1).softmax(-1)
        for row in self._limited:
            chances_BV[row] = _likeliest(chances_BV[row], self._options[row])
        sums_BV = chances_BV.cumsum(-1, dtype=torch.float64)
        uniform = torch.cat([torch.rand(1, generator=stream, dtype=torch.float64) for stream in self._streams])
        total_B1 = sums_BV[:, -1:]
        below_B1 = total_B1.nextafter(torch.zeros_like(total_B1))  # rounding up to the total would pass the last token
        return torch.searchsorted(
            sums_BV, (uniform[:, None].to(self._device) * total_B1).minimum(below_B1), right=True
        )[:, 0]


def _likeliest(chances_V: Tensor, options: SamplingOptions) -> Tensor:
    """Zero for all but the first k, and of these for all after the one at which their sum reaches p of the whole."""
    chances, places = chances_V.topk(min(options.top_k or FIRST, len(chances_V)))
    whole = chances.sum() if options.top_k else chances_V.sum()
    if not options.top_k and chances.sum() < options.top_p * whole:
        chances, places = chances_V.sort(descending=True)
    if options.top_p < 1:
        before = chances.cumsum(0) - chances
        chances = chances.masked_fill(before >= options.top_p * whole, 0)
    return torch.zeros_like(chances_V).scatter_(0, places, chances)


def _stream(seed: int | None) -> torch.Generator:
    stream = torch.Generator()
    if seed is None:
        stream.seed()
    else:
        stream.manual_seed(seed)
    return stream


def _listed(value: object) -> tuple[object, ...]:
    return (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
