"""How the requests of one step are drawn for, worked out once and kept while the same ones run."""

# B requests of the step, R of them

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.runner.filtering import LEAST_SHARE, NO_SHARE, Limits
from triptych.runner.options import SamplingOptions
from triptych.runner.shaping import Biases, Early, Penalties
from triptych.runner.uniform import GAMMA

VALUES = ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")


@dataclass(frozen=True)
class Rows:
    """Some of the requests of a step: their slots, and the rows that they are; None for all."""

    slots: tuple[int, ...]
    slots_R: Tensor
    rows_R: Tensor | None

    def of(self, values_B: Tensor) -> Tensor:
        """Their part of what there is of each request; itself where that is all."""
        return values_B if self.rows_R is None else values_B[self.rows_R]

    def put(self, values_B: Tensor, values_R: Tensor) -> None:
        """Write their part."""
        if self.rows_R is None:
            values_B.copy_(values_R)
        else:
            values_B[self.rows_R] = values_R


@dataclass(frozen=True)
class Warm:
    """Requests that are drawn for, their temperatures [R, 1], and their limits where they have any."""

    rows: Rows
    temperature_R1: Tensor
    limits: Limits | None


@dataclass(frozen=True)
class Plan:
    """The requests of a step by what they ask for, None where none does. `gamma_B` moves their streams on by one."""

    all: Rows
    greedy: Rows | None
    warm: tuple[Warm, ...]
    biases: Biases | None
    penalized: tuple[Rows, Penalties] | None
    early: Early | None
    asking: Rows | None
    gamma_B: Tensor

    @property
    def is_shaped(self) -> bool:
        """Whether logits are changed before a token is drawn."""
        return self.biases is not None or self.penalized is not None or self.early is not None


class Table:
    """The numbers of the options of each slot, on the device, from which plans are made."""

    def __init__(self, slots: int, *, vocab_size: int, device: torch.device) -> None:
        self._vocab, self._device = vocab_size, device
        self._values = torch.zeros(slots, len(VALUES), device=device)
        self._last = torch.zeros(slots, 1, dtype=torch.int64, device=device)

    def put(self, slot: int, options: SamplingOptions) -> None:
        """A request comes into a slot."""
        share = max(options.top_p, LEAST_SHARE) if options.top_p < 1 else NO_SHARE
        given = {**{name: getattr(options, name) for name in VALUES}, "top_p": share}
        self._values[slot] = torch.tensor([float(given[name]) for name in VALUES])
        self._last[slot] = min(options.top_k or self._vocab, self._vocab) - 1

    def plan(self, slots: Sequence[int], options: Sequence[SamplingOptions], ends: Sequence[frozenset[int]]) -> Plan:
        """The plan of the requests in these slots, and the ids that end each."""

        def having(is_so: Callable[[SamplingOptions], bool]) -> Rows | None:
            return self._rows(slots, [row for row, each in enumerate(options) if is_so(each)])

        free = having(lambda each: not each.greedy and not each.limited)
        limited = having(lambda each: not each.greedy and each.limited)
        told = [each for each in options if not each.greedy and each.limited]
        penalized = having(lambda each: each.penalized)
        early = [(ids, each.min_tokens) for ids, each in zip(ends, options, strict=True)]
        return Plan(
            all=Rows(tuple(slots), torch.tensor(slots, device=self._device), None),
            greedy=having(lambda each: each.greedy),
            warm=(
                *((Warm(free, self._value(free, "temperature"), None),) if free else ()),
                *(
                    (Warm(limited, self._value(limited, "temperature"), self._limits(limited, told)),)
                    if limited
                    else ()
                ),
            ),
            biases=Biases.of([each.logit_bias for each in options], device=self._device),
            penalized=(penalized, self._penalties(penalized)) if penalized else None,
            early=Early.of(early, device=self._device),
            asking=having(lambda each: each.logprobs is not None),
            gamma_B=torch.full((len(slots),), GAMMA, device=self._device),
        )

    def _rows(self, slots: Sequence[int], rows: Sequence[int]) -> Rows | None:
        if not rows:
            return None
        some = None if len(rows) == len(slots) else torch.tensor(rows, device=self._device)
        chosen = tuple(slots[row] for row in rows)
        return Rows(chosen, torch.tensor(chosen, device=self._device), some)

    def _limits(self, rows: Rows, options: Sequence[SamplingOptions]) -> Limits:
        of_all = [each.top_p < 1 and not each.top_k for each in options]
        return Limits(
            last=self._last[rows.slots_R] if any(each.top_k for each in options) else None,
            share=self._value(rows, "top_p") if any(each.top_p < 1 for each in options) else None,
            ratio=self._value(rows, "min_p") if any(each.min_p for each in options) else None,
            of_all=torch.tensor(of_all, device=self._device)[:, None] if any(of_all) else None,
            most=max(each.top_k for each in options),
        )

    def _penalties(self, rows: Rows) -> Penalties:
        names = ("repetition_penalty", "presence_penalty", "frequency_penalty")
        return Penalties(*(self._value(rows, name) for name in names))

    def _value(self, rows: Rows, name: str) -> Tensor:
        """Of each of them, [R, 1]."""
        return self._values[rows.slots_R, VALUES.index(name), None]
