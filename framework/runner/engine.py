"""Requests come and go, and each step computes some tokens of many: reading prompts and writing answers go together."""

# T tokens of a step, D width

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import torch

from triptych.inputs.tokenizer import Tokenizer
from triptych.registry.authors import is_out_of_memory
from triptych.runner.arrivals import Arrivals
from triptych.runner.encoded import EncodedItems
from triptych.runner.entry import Entry
from triptych.runner.event import Event, Failure, Log
from triptych.runner.failures import INTERRUPTS, as_told, no_room
from triptych.runner.flight import Flight, Landed
from triptych.runner.launch import launch
from triptych.runner.logprobs import TokenLogprob
from triptych.runner.pages import PagePool
from triptych.runner.prompt_scores import take_scores
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.request import Request, RunOptions
from triptych.runner.sampling import Sampler
from triptych.runner.schedule import Plan, Scheduler
from triptych.runner.sizes import Sizes
from triptych.runner.staged import Staged
from triptych.runner.step_items import StepItems, read_items
from triptych.runner.tables import PageTables

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
        self._cache = sizes.cache(run)
        self._entries: dict[int, Entry] = {}
        self._numbers = count()
        self._most = run.max_num_batched_tokens
        self._depth = 1 if run.overlaps and not self._in_stages else 0
        self._flights = deque[Flight]()
        self._begin()
        self._sound = True

    def _begin(self) -> None:
        """With nothing read: whoever is here waits, with the tokens that its log has."""
        layout = self._sizes.layout
        self._flights.clear()
        self._pool = PagePool(layout.pages)
        self._tables = PageTables(self._pool, layout.groups, reuse=not self._cache.states)
        self._scheduler = Scheduler(self._tables, seqs=self._sizes.seqs, tokens=self._most)
        vocab, device = self._model.vocab_size, self._run.device
        self._sampler = Sampler(self._sizes.seqs, vocab_size=vocab, device=device, end_ids=self._end_ids)
        budget = self._run.encoder_cache_bytes
        self._encoded = EncodedItems(self._model, budget=budget, device=device, apart=not self._in_stages)
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
            self._scheduler.add(again)

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
            self._scheduler.add(entry)

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
        with self._changing():
            return self._step()

    def _step(self) -> list[Event | Failure]:
        found = self._landed(leave=0) if self._has_to_wait() else []
        plan = self._scheduler.plan()
        try:
            self._prepare(plan)
            items = read_items(plan.chunks, self._encoded)
            plan.chunks = items.chunks
            found += [self._end_with(*each) for each in items.failures]
            if plan.entries:
                self._launch(plan, items)
        except Exception as error:
            found += self._landed(leave=0)
            return found + self._failed(plan, error)
        return found + self._landed(leave=self._depth if plan.entries else 0)

    def _has_to_wait(self) -> bool:
        """Whether the next step needs what is in flight: its tokens, or the pages of who may have ended by them."""
        return any(flight.is_needed for flight in self._flights) or (bool(self._flights) and self._scheduler.is_short)

    def _launch(self, plan: Plan, items: StepItems) -> None:
        before = self._flights[-1] if self._flights else None
        flight = launch(self._model, self._cache, self._sampler, plan=plan, items=items, before=before)
        for chunk in plan.chunks:
            self._scheduler.advance(chunk)
        for entry in flight.entries:
            entry.foresee()
            if entry.has_its_last:
                self._scheduler.rest(entry)
        self._flights.append(flight)

    def _prepare(self, plan: Plan) -> None:
        for _, slot in plan.stopped:
            self._sampler.remove(slot)
        for entry in plan.started:
            assert entry.slot is not None
            prompt = entry.request.prompt.token_ids
            self._sampler.add(entry.slot, entry.options, prompt, answer_ids=entry.answer_ids, mask=entry.form)
        for copy in plan.copies:
            self._cache.copy(copy.group, copy.source.page, copy.to, copy.source.rows)

    def _landed(self, *, leave: int) -> list[Event | Failure]:
        """What has come of all flights but the last ones, which are left."""
        found: list[Event | Failure] = []
        while len(self._flights) > leave:
            found += filter(None, map(self._told, self._flights.popleft().land()))
        return found

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
        if entry.ahead:
            self._scheduler.rest(entry)
            return
        if entry.slot is not None:
            self._sampler.remove(entry.slot)
        if entry.log.error is None and entry.writing and is_sound:
            self._scheduler.drop(entry)
        else:  # others are spared what it wrote: that these are numbers is seen when a token is drawn
            self._cache.clear(self._tables.alone(entry))
            self._scheduler.discard(entry)
        del self._entries[entry.number]
