"""How the requests of one step are drawn for, worked out once and kept while the same ones run."""

# B requests of the step, R of them

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.kernels.sample import Limits
from triptych.runner.options import SamplingOptions
from triptych.runner.shaping import Biases, Early, Penalties
from triptych.runner.streams import GAMMA

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
class Asked:
    """How requests are drawn for: their temperatures [R], 0 for the likeliest, and limits; None where all have none."""

    temperature_R: Tensor | None
    limits: Limits | None


@dataclass(frozen=True)
class Plan:
    """The requests of a step by what they ask for, None where none does. `gamma_B` moves their streams on by one.

    `asked`: how all are drawn for. `alike`: the same in parts, those that take the likeliest, those without limits, and
    those with some.
    """

    all: Rows
    asked: Asked
    alike: tuple[tuple[Rows, Asked], ...]
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
        self._top_k = torch.zeros(slots, dtype=torch.int64, device=device)

    def put(self, slot: int, options: SamplingOptions) -> None:
        """A request comes into a slot."""
        given = {name: getattr(options, name) for name in VALUES}
        if options.greedy:
            given["temperature"] = 0
        self._values[slot] = torch.tensor([float(given[name]) for name in VALUES])
        self._top_k[slot] = min(options.top_k or self._vocab, self._vocab)

    def plan(self, slots: Sequence[int], options: Sequence[SamplingOptions], ends: Sequence[frozenset[int]]) -> Plan:
        """The plan of the requests in these slots, and the ids that end each."""

        def having(is_so: Callable[[SamplingOptions], bool]) -> Rows | None:
            return self._rows(slots, [row for row, each in enumerate(options) if is_so(each)])

        kinds = ([row for row, each in enumerate(options) if _kind(each) == kind] for kind in range(3))
        penalized = having(lambda each: each.penalized)
        early = [(ids, each.min_tokens) for ids, each in zip(ends, options, strict=True)]
        return Plan(
            all=(everyone := Rows(tuple(slots), torch.tensor(slots, device=self._device), None)),
            asked=self._asked(everyone, options),
            alike=tuple(
                (rows, self._asked(rows, [options[row] for row in kind]))
                for kind in kinds
                if (rows := self._rows(slots, kind))
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

    def _asked(self, rows: Rows, options: Sequence[SamplingOptions]) -> Asked:
        temperature_R1, top_p_R1, min_p_R1 = (self._value(rows, name) for name in ("temperature", "top_p", "min_p"))
        warm = [each for each in options if not each.greedy]
        limits = Limits(self._top_k[rows.slots_R], top_p_R1[:, 0], min_p_R1[:, 0])
        return Asked(temperature_R1[:, 0] if warm else None, limits if any(each.limited for each in warm) else None)

    def _penalties(self, rows: Rows) -> Penalties:
        names = ("repetition_penalty", "presence_penalty", "frequency_penalty")
        return Penalties(*(self._value(rows, name) for name in names))

    def _value(self, rows: Rows, name: str) -> Tensor:
        """Of each of them, [R, 1]."""
        return self._values[rows.slots_R, VALUES.index(name), None]


def _kind(options: SamplingOptions) -> int:
    """0 for the likeliest, 1 for a draw from all tokens, 2 for one from some."""
    return 0 if options.greedy else 1 + options.limited
