"""Requests come and go, and each step computes some tokens of many: reading prompts and writing answers go together."""

# T tokens of a step, D width

from __future__ import annotations

import logging
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import torch

from triptych.inputs.tokenizer import Tokenizer
from triptych.kernels.choice import using
from triptych.registry.authors import is_out_of_memory
from triptych.runner.arrivals import Arrivals
from triptych.runner.engine_state import EngineState
from triptych.runner.entry import Entry
from triptych.runner.event import Event, Failure, Log
from triptych.runner.failures import INTERRUPTS, as_told, no_room
from triptych.runner.flight import Landed
from triptych.runner.graphs import capture_for
from triptych.runner.heap import keep_freed
from triptych.runner.logprobs import TokenLogprob
from triptych.runner.prompt_scores import take_scores
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.request import Request, RunOptions
from triptych.runner.schedule import Plan
from triptych.runner.sizes import Sizes
from triptych.runner.staged import Staged
from triptych.runner.step_items import read_items

logger = logging.getLogger(__name__)


class Engine:
    """Runs the requests that it is given, each of at most `sizes.longest` tokens, in the pages of one cache.

    `end_ids` end an answer. With `live` each event brings its text, otherwise the last one of a request brings it all.
    """

    def __init__(
        self,
        model: TextGenerationModel,
        *,
        sizes: Sizes,
        run: RunOptions,
        tokenizer: Tokenizer | None = None,
        end_ids: AbstractSet[int] = frozenset(),
        live: bool = False,
    ) -> None:
        self._model, self._run, self._sizes = model, run, sizes
        self._end_ids = end_ids
        self._arrivals = Arrivals(model, sizes.longest, tokenizer, end_ids, live)
        self._in_stages = isinstance(model, Staged)
        self._capture = capture_for(model, run)
        keep_freed(run.device)
        self._cache = sizes.cache(run)
        self._entries: dict[int, Entry] = {}
        self._numbers = count()
        self._most = run.max_num_batched_tokens
        self._depth = 1 if run.overlaps and not self._in_stages else 0
        self._begin()
        self._sound = True

    def _begin(self) -> None:
        """With nothing read: whoever is here waits, with the tokens that its log has."""
        given = self._model, self._cache, self._sizes, self._run
        self._state = EngineState(*given, tokens=self._most, end_ids=self._end_ids, capture=self._capture)
        for entry in [*self._entries.values()]:
            self._begin_again(entry)

    def _begin_again(self, entry: Entry) -> None:
        try:
            again = None if entry.log.ended else self._arrivals.entry(entry.number, entry.request, entry.log)
        except INTERRUPTS:
            raise
        except BaseException as error:  # of a tokenizer, say, that did not fail before
            entry.log.error, again = as_told(error, "the request cannot be answered"), None
        if again is None:
            del self._entries[entry.number]
        else:
            self._entries[entry.number] = again
            self._state.scheduler.add(again)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """What is left in the middle, as by an interruption, is known from then on, and begins again when next used."""
        if not self._sound:
            self._begin()
        self._sound = False
        yield
        self._sound = True

    def add(self, request: Request) -> int:
        """A request waits for its turn -> its number. It was checked before."""
        entry = self.entry(request)
        self.admit(entry)
        return entry.number

    def entry(self, request: Request) -> Entry:
        """What is needed to admit a request; any thread may ask for it at any time."""
        return self._arrivals.entry(next(self._numbers), request, Log())

    def admit(self, entry: Entry) -> None:
        """A request waits for its turn; nothing happens to one that is here, or is wanted no longer."""
        if entry.number in self._entries or entry.log.ended:
            return
        with self._changing():
            if not self._entries and self._most < self._run.max_num_batched_tokens:
                self._most = self._run.max_num_batched_tokens  # what took the memory may be gone
                self._begin()
            self._entries[entry.number] = entry
            self._state.scheduler.add(entry)

    def cancel(self, number: int) -> None:
        """A request is wanted no longer; nothing happens to one that has ended."""
        if (entry := self._entries.get(number)) and not (entry.log.is_whole or entry.log.error):
            entry.log.cancelled = True
            with self._changing():
                if number in self._entries:
                    self._end(self._entries[number])

    @property
    def busy(self) -> bool:
        """Whether any request is to be answered."""
        return bool(self._entries)

    @torch.inference_mode()
    def step(self) -> list[Event | Failure]:
        """Compute what the next step is to have -> the tokens that were drawn, and who failed.

        Where steps overlap, the tokens are those of the step before, and this one is left to the device meanwhile. So a
        stop is seen one step late, and the token too many is dropped.

        What fails ends those whom it concerns: an item, or what is done to one answer, its request; the model, those of
        the step. Of a pipeline nothing may fail in one process alone, so that there it is raised. An interruption is
        raised too; then requests begin again with the next step, from the tokens that their logs have.
        """
        with self._changing(), using(self._run.kernels):
            return self._step()

    def _step(self) -> list[Event | Failure]:
        found = self._landed(leave=0) if self._state.has_to_wait else []
        plan = self._state.scheduler.plan()
        try:
            self._state.prepare(plan)
            items = read_items(plan.chunks, self._state.encoded)
            plan.chunks = items.chunks
            found += [self._end_with(*each) for each in items.failures]
            if plan.entries:
                self._state.launch(plan, items)
        except Exception as error:
            found += self._landed(leave=0)
            return found + self._failed(plan, error)
        return found + self._landed(leave=self._depth if plan.entries else 0)

    def _landed(self, *, leave: int) -> list[Event | Failure]:
        """What has come of all flights but the last ones, which are left."""
        told = map(self._told, self._state.landed(leave=leave))
        return [each for each in told if each is not None]

    def _told(self, landed: Landed) -> Event | Failure | None:
        """None of a token that is one too many."""
        entry, token, logprob, error = landed
        if entry.log.ended:
            entry.drop_last()
            self._end(entry, is_sound=error is None)
            return None
        entry.know(token)
        return self._event(entry, token, logprob) if error is None else self._end_with(entry, error)

    def _event(self, entry: Entry, token: int, logprob: TokenLogprob | None) -> Event | Failure:
        try:
            prompt = take_scores(self._model, entry)
            text = entry.answer.push(token)
        except INTERRUPTS:
            raise
        except BaseException as error:  # a panic of a tokenizer's library is no Exception
            return self._end_with(entry, error)
        reason = entry.answer.finish_reason
        event = Event(entry.number, token, text, reason, logprob, prompt)
        entry.log.events.append(event)
        if reason is not None:
            self._end(entry)
        return event

    def _failed(self, plan: Plan, error: Exception) -> list[Event | Failure]:
        """A step failed as a whole: its requests end, but where it found no memory, which fewer tokens may find."""
        tokens, entries = plan.tokens, plan.entries
        if is_out_of_memory(error):
            error = no_room(error, tokens=tokens, requests=len(entries))
            least = max((entry.longest_whole for entry in self._entries.values()), default=1)
            if tokens > least and not self._in_stages:
                self._most = max(tokens // 2, least)
                logger.warning("%s; what runs begins again, in steps of %d", error, self._most)
                self._begin()
                return []
        if self._in_stages or not entries:
            raise error
        left = [entry for entry in entries if not entry.log.ended]
        return [replace(self._end_with(entry, error), of_step=True) for entry in left]

    def _end_with(self, entry: Entry, error: BaseException) -> Failure:
        """A request ends with an error."""
        if self._in_stages:
            raise error
        entry.log.error = as_told(error, "the request cannot be answered")
        self._end(entry)
        return Failure(entry.number, entry.log.error)

    def _end(self, entry: Entry, *, is_sound: bool = True) -> None:
        """No more comes of a request; its pages and its slot go back once nothing of it is in flight."""
        if self._state.end(entry, is_sound=is_sound):
            del self._entries[entry.number]
