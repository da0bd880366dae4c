"""How tokens are drawn from logits, for requests that come into slots and leave them one by one."""

# B requests of a step, R of them, V vocabulary

from __future__ import annotations

import secrets
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from triptych.errors import TriptychError
from triptych.kernels.choice import wants_kernel
from triptych.kernels.sample import sample
from triptych.runner.drawn import Drawn
from triptych.runner.logprobs import Logprobs
from triptych.runner.options import SamplingOptions
from triptych.runner.sampling_plan import Plan, Table
from triptych.runner.shaping import History, penalize
from triptych.runner.streams import state_of
from triptych.runner.tops import Tops


class Mask(Protocol):
    """What says which tokens may come next in an answer that has to be of a form."""

    def allowed(self) -> Tensor:
        """Whether each token of the vocabulary may, [V], bool, after those that it was told of."""


@runtime_checkable
class WeighingMask(Mask, Protocol):
    """One for which the logits count too."""

    def allowed_of(self, logits_V: Tensor) -> Tensor:
        """Whether each token may come next, [V], bool, of these logits."""


class Sampler:
    """Draws a token for each of some of `slots` requests, as its options say.

    A draw depends on the logits, the seed and the number of the token in its answer alone: the others in the batch, and
    leaving and coming back, change nothing. `end_ids` are those of the model.
    """

    def __init__(
        self, slots: int, *, vocab_size: int, device: torch.device, end_ids: AbstractSet[int] = frozenset()
    ) -> None:
        self._vocab, self._device, self._end_ids = vocab_size, device, end_ids
        self._options: dict[int, SamplingOptions] = {}
        self._masks: dict[int, Mask] = {}
        self._table = Table(slots, vocab_size=vocab_size, device=device)
        self._history = History(slots, device=device)
        self._state = torch.zeros(slots, dtype=torch.int64, device=device)
        self._number = torch.zeros(slots, dtype=torch.int64, device=device)
        self._kept: Plan | None = None

    @torch.inference_mode()
    def add(
        self,
        slot: int,
        options: SamplingOptions,
        prompt_ids: Sequence[int],
        *,
        answer_ids: Sequence[int] = (),
        mask: Mask | None = None,
    ) -> None:
        """A request comes into a free slot. With the `answer_ids` that it has it goes on as if it had never left.

        A `mask` is asked before each draw, and has been told of the tokens before by then. Without a seed the request
        gets a fresh one.
        """
        assert slot not in self._options, f"slot {slot} is not free"
        self._options[slot], self._kept = options, None
        self._table.put(slot, options)
        seed = secrets.randbits(63) if options.seed is None else options.seed
        self._state[slot], self._number[slot] = state_of(seed, len(answer_ids)), len(answer_ids)
        if options.penalized:
            self._history.add(slot, prompt_ids, answer_ids)
        if mask is not None:
            self._masks[slot] = mask

    def remove(self, slot: int) -> None:
        """The request of this slot leaves, if it came."""
        self._options.pop(slot, None)
        self._masks.pop(slot, None)
        self._history.remove(slot)
        self._kept = None

    @torch.inference_mode()
    def draw(self, logits_BV: Tensor, slots: Sequence[int]) -> Drawn:
        """A token for each of the requests in `slots`, whose logits the rows are, in that order.

        Logits that are not finite, and a row where no token is left to draw, are failures of their request alone.
        Nobody waits here for the device, but for requests with a mask and, in plain torch, a top_k, top_p or min_p.
        """
        plan, counts = self._plan(slots), self.counts(slots)
        refused: dict[int, TriptychError] = {}
        shaped_BV = self._shaped(logits_BV, plan, refused)
        tokens_B, tops_B = self._drawn(shaped_BV, plan)
        self._note(tokens_B, plan)
        found = None
        if plan.asking is not None:
            most = max(count for count in counts if count is not None)
            found = Logprobs.of(plan.asking.of(logits_BV), plan.asking.of(tokens_B), likeliest=most)
        return Drawn(tokens_B, counts, found, Tops(tops_B, logits_BV.dtype), refused)

    def counts(self, slots: Sequence[int]) -> tuple[int | None, ...]:
        """How many of the likeliest tokens the logprobs of each are to have; None where it asks for none."""
        return tuple(self._options[slot].logprobs for slot in slots)

    def _plan(self, slots: Sequence[int]) -> Plan:
        if self._kept is None or self._kept.all.slots != tuple(slots):
            options = [self._options[slot] for slot in slots]
            ends = [frozenset(id for id in each.ends(self._end_ids) if id < self._vocab) for each in options]
            self._kept = self._table.plan(slots, options, ends)
        return self._kept

    def _shaped(self, logits_BV: Tensor, plan: Plan, refused: dict[int, TriptychError]) -> Tensor:
        """The logits after all that changes single tokens; the same where nothing does."""
        if not plan.is_shaped and not self._masks:
            return logits_BV
        shaped_BV = logits_BV.to(torch.float32, copy=True)
        if plan.biases:
            plan.biases.add(shaped_BV)
        if plan.penalized:
            rows, penalties = plan.penalized
            shaped_RV = rows.of(shaped_BV)
            penalize(shaped_RV, self._history.past(rows.slots, rows.slots_R), penalties)
            rows.put(shaped_BV, shaped_RV)
        if plan.early:
            plan.early.forbid(shaped_BV, self._number[plan.all.slots_R])
        for row, slot in enumerate(plan.all.slots):
            if slot in self._masks:
                self._hide(shaped_BV[row], self._masks[slot], row, refused)
        return shaped_BV

    def _hide(self, shaped_V: Tensor, mask: Mask, row: int, refused: dict[int, TriptychError]) -> None:
        """Leave one row with what its mask allows."""
        try:
            allowed_V = mask.allowed_of(shaped_V) if isinstance(mask, WeighingMask) else mask.allowed()
            shaped_V.masked_fill_(~allowed_V.to(self._device), -torch.inf)
        except TriptychError as error:
            refused[row] = error

    def _drawn(self, logits_BV: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
        """A token of each row, some token where the logits are no numbers, and the highest logit."""
        state_B = self._state.index_select(0, plan.all.slots_R)
        if wants_kernel("sample", logits_BV) or len(plan.alike) == 1:
            return sample(logits_BV, state_B, plan.asked.temperature_R, plan.asked.limits)
        tokens_B, tops_B = torch.empty_like(state_B), logits_BV.new_empty(len(logits_BV))
        for rows, asked in plan.alike:  # plain torch looks at each row for the longest that any takes
            tokens_R, tops_R = sample(rows.of(logits_BV), rows.of(state_B), asked.temperature_R, asked.limits)
            rows.put(tokens_B, tokens_R)
            rows.put(tops_B, tops_R)
        return tokens_B, tops_B

    def _note(self, tokens_B: Tensor, plan: Plan) -> None:
        """Remember the tokens for the next draws."""
        if plan.asked.temperature_R is not None:
            self._state.index_add_(0, plan.all.slots_R, plan.gamma_B)
        if plan.early:
            self._number[plan.all.slots_R] += 1
        if plan.penalized:
            rows, _ = plan.penalized
            self._history.push(rows.slots, rows.slots_R, rows.of(tokens_B))
