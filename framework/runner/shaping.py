"""Logits changed token by token before one is drawn: biases, penalties for what was there, ends that come too early."""

# B rows, V vocabulary, L places of a history, N (row, token) pairs

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Penalties:
    """Of each row, [B, 1]: 1 or 0 for none. The rules are in `SamplingOptions`."""

    repetition: Tensor
    presence: Tensor
    frequency: Tensor


@dataclass(frozen=True)
class Past:
    """Tokens of prompts and answers, [B, L]: which of them are there, which of the answer, which there first."""

    ids_BL: Tensor
    is_there_BL: Tensor
    is_answer_BL: Tensor
    is_first_BL: Tensor


def penalize(logits_BV: Tensor, past: Past, penalties: Penalties) -> None:
    """Change logits (float32) in place by what was there. A place that holds no token repeats the first."""
    ids_BL = torch.where(past.is_there_BL, past.ids_BL, past.ids_BL[:, :1])
    found_BL = logits_BV.gather(1, ids_BL)
    changed_BL = torch.where(found_BL < 0, found_BL * penalties.repetition, found_BL / penalties.repetition)
    logits_BV.scatter_(1, ids_BL, changed_BL)
    loss_BL = penalties.presence * past.is_first_BL + penalties.frequency * past.is_answer_BL
    logits_BV.scatter_add_(1, ids_BL, -loss_BL)


class History:
    """The tokens of the requests in some slots, those of the prompt and those of the answer, on the device.

    There is room for the longest of these, and none while there are none.
    """

    def __init__(self, slots: int, *, device: torch.device) -> None:
        self._ids = torch.zeros(slots, 0, dtype=torch.int32, device=device)
        self._is_first = torch.zeros(slots, 0, dtype=torch.bool, device=device)
        self._start = torch.zeros(slots, dtype=torch.int64, device=device)
        self._length = torch.zeros(slots, dtype=torch.int64, device=device)
        self._longest: dict[int, int] = {}  # the length of each slot, known without asking the device

    def add(self, slot: int, prompt_ids: Sequence[int], answer_ids: Sequence[int]) -> None:
        """A request comes into a slot with its prompt, at least one token, and what it was answered so far."""
        ids = [*prompt_ids, *answer_ids]
        self._longest[slot] = len(ids)
        self._make_room(len(ids))
        self._ids[slot, : len(ids)] = torch.tensor(ids)
        self._start[slot], self._length[slot] = len(prompt_ids), len(ids)
        first = {token: place for place, token in reversed([*enumerate(answer_ids, len(prompt_ids))])}
        self._is_first[slot] = False
        self._is_first[slot, [*first.values()]] = True

    def remove(self, slot: int) -> None:
        """The request of this slot leaves, if it is one of these."""
        if self._longest.pop(slot, None) is not None and not self._longest:
            self._ids, self._is_first = (each.new_zeros(len(each), 0) for each in (self._ids, self._is_first))

    @property
    def nbytes(self) -> int:
        """What the tokens take."""
        return self._ids.nbytes + self._is_first.nbytes

    def push(self, slots: Sequence[int], slots_B: Tensor, tokens_B: Tensor) -> None:
        """A token more for each."""
        for slot in slots:
            self._longest[slot] += 1
        self._make_room(max(self._longest[slot] for slot in slots))
        past = self.past(slots, slots_B)
        again_B = ((past.ids_BL == tokens_B[:, None]) & past.is_answer_BL).any(-1)
        at_B = self._length[slots_B]
        self._ids[slots_B, at_B] = tokens_B.int()
        self._is_first[slots_B, at_B] = ~again_B
        self._length[slots_B] = at_B + 1

    def past(self, slots: Sequence[int], slots_B: Tensor) -> Past:
        width = max(self._longest[slot] for slot in slots)
        places_L = torch.arange(width, device=self._ids.device)
        is_there_BL = places_L < self._length[slots_B, None]
        is_answer_BL = is_there_BL & (places_L >= self._start[slots_B, None])
        first_BL = self._is_first[slots_B, :width] & is_answer_BL
        return Past(self._ids[slots_B, :width].long(), is_there_BL, is_answer_BL, first_BL)

    def _make_room(self, needed: int) -> None:
        """Twice the room when so many do not fit."""
        slots, room = self._ids.shape
        if needed > room:
            more = max(needed, 2 * room) - room
            self._ids = torch.cat([self._ids, self._ids.new_zeros(slots, more)], -1)
            self._is_first = torch.cat([self._is_first, self._is_first.new_zeros(slots, more)], -1)


@dataclass(frozen=True)
class Biases:
    """Numbers that are added to the logits of some (row, token) pairs, none of them twice."""

    rows_N: Tensor
    ids_N: Tensor
    values_N: Tensor

    @classmethod
    def of(cls, biases: Sequence[Mapping[int, float]], *, device: torch.device) -> Biases | None:
        """Those of each row; None where there is none."""
        pairs = [(row, token, value) for row, given in enumerate(biases) for token, value in given.items()]
        if not pairs:
            return None
        rows, ids, values = (torch.tensor(each, device=device) for each in zip(*pairs, strict=True))
        return cls(rows, ids, values)

    def add(self, logits_BV: Tensor) -> None:
        """Change logits (float32) in place."""
        logits_BV[self.rows_N, self.ids_N] += self.values_N.to(logits_BV.dtype)


@dataclass(frozen=True)
class Early:
    """The (row, token) pairs that would end an answer, and how many tokens it has to have before."""

    rows_N: Tensor
    ids_N: Tensor
    least_N: Tensor

    @classmethod
    def of(cls, ends: Sequence[tuple[Collection[int], int]], *, device: torch.device) -> Early | None:
        """From the ends and the least number of each row; None where all are free to end."""
        pairs = [(row, token, least) for row, (ids, least) in enumerate(ends) if least for token in ids]
        if not pairs:
            return None
        rows, ids, least = (torch.tensor(each, device=device) for each in zip(*pairs, strict=True))
        return cls(rows, ids, least)

    def forbid(self, logits_BV: Tensor, number_B: Tensor) -> None:
        """Change logits in place, of answers that have this many tokens by now."""
        found_N = logits_BV[self.rows_N, self.ids_N]
        is_early_N = number_B[self.rows_N] < self.least_N
        logits_BV[self.rows_N, self.ids_N] = found_N.masked_fill(is_early_N, -torch.inf)
