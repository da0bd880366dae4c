"""Requests come and go, and each step computes some tokens of many: reading prompts and writing answers go together."""

# T tokens of a step, D width

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import torch

from triptych.inputs.tokenizer import Tokenizer
from triptych.parts.cache import Cache
from triptych.registry.authors import is_out_of_memory
from triptych.runner.arrivals import Arrivals
from triptych.runner.drawing import draw
from triptych.runner.drawn import Drawn
from triptych.runner.encoded import EncodedItems
from triptych.runner.entry import Entry
from triptych.runner.event import Event, Failure, Log
from triptych.runner.failures import INTERRUPTS, as_told, no_room, room_for
from triptych.runner.logprobs import TokenLogprob
from triptych.runner.pages import PagePool
from triptych.runner.prompt_scores import keep_rows, take_scores
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.request import Request, RunOptions
from triptych.runner.sampling import Sampler
from triptych.runner.schedule import Plan, Scheduler
from triptych.runner.sizes import MIB, Sizes
from triptych.runner.staged import Staged
from triptych.runner.step_items import StepItems, read_items
from triptych.runner.step_rows import hidden_rows
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
        told = f"a cache of {sizes.layout.nbytes(run.dtype) / MIB:,.1f} MiB"
        with room_for(told, less="a smaller kv_cache_memory, max_model_len or max_num_seqs takes less"):
            self._cache = Cache(sizes.layout, dtype=run.dtype, device=run.device)
        self._entries: dict[int, Entry] = {}
        self._numbers = count()
        self._most = run.max_num_batched_tokens
        self._begin()
        self._sound = True

    def _begin(self) -> None:
        """With nothing read: whoever is here waits, with the tokens that its log has."""
        layout = self._sizes.layout
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
        if entry := self._entries.get(number):
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

        What fails ends those whom it concerns: an item, or what is done to one answer, its request; the model, those of
        the step. Of a pipeline nothing may fail in one process alone, so that there it is raised. An interruption is
        raised too; then requests begin again with the next step, from the tokens that their logs have.
        """
        with self._changing():
            return self._step()

    def _step(self) -> list[Event | Failure]:
        plan = self._scheduler.plan()
        failures: list[Event | Failure] = []
        try:
            self._prepare(plan)
            items = read_items(plan.chunks, self._encoded)
            plan.chunks = items.chunks
            failures += [self._end_with(*each) for each in items.failures]
            drawing, drawn = self._computed(plan, items) if plan.entries else ([], None)
        except Exception as error:
            return failures + self._failed(plan, error)
        return failures + self._events(drawing, drawn)

    def _computed(self, plan: Plan, items: StepItems) -> tuple[list[Entry], Drawn | None]:
        """Who draws after this step, and what."""
        hidden_TD = hidden_rows(self._model, self._cache, plan, items)
        drawing, rows = [*plan.writers], [*range(len(plan.writers))]
        stop = len(rows)
        for chunk in plan.chunks:
            start, stop = stop, stop + chunk.count
            keep_rows(chunk.entry, hidden_TD[start:stop])
            if self._scheduler.advance(chunk):
                drawing.append(chunk.entry)
                rows.append(stop - 1)
        return drawing, draw(self._model, self._sampler, drawing, hidden_TD=hidden_TD, rows=rows) if drawing else None

    def _prepare(self, plan: Plan) -> None:
        for _, slot in plan.stopped:
            self._sampler.remove(slot)
        for entry in plan.started:
            assert entry.slot is not None
            prompt = entry.request.prompt.token_ids
            self._sampler.add(entry.slot, entry.options, prompt, answer_ids=entry.answer_ids, mask=entry.form)
        for copy in plan.copies:
            self._cache.copy(copy.group, copy.source.page, copy.to, copy.source.rows)

    def _events(self, entries: Sequence[Entry], drawn: Drawn | None) -> list[Event | Failure]:
        if drawn is None:
            return []
        failures = drawn.failures()
        rows = zip(entries, drawn.token_ids.tolist(), drawn.logprobs(), strict=True)
        return [
            self._end_with(entry, failures[row]) if row in failures else self._event(entry, token, logprob)
            for row, (entry, token, logprob) in enumerate(rows)
        ]

    def _event(self, entry: Entry, token: int, logprob: TokenLogprob | None) -> Event | Failure:
        try:
            prompt = take_scores(self._model, entry)
            text = entry.answer.push(token)
        except INTERRUPTS:
            raise
        except BaseException as error:  # a panic of a tokenizer's library is no Exception
            return self._end_with(entry, error)
        reason = entry.answer.finish_reason
        entry.tokens.append(token)
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
        return [replace(self._end_with(entry, error), of_step=True) for entry in entries]

    def _end_with(self, entry: Entry, error: BaseException) -> Failure:
        """A request ends with an error."""
        if self._in_stages:
            raise error
        entry.log.error = as_told(error, "the request cannot be answered")
        self._end(entry)
        return Failure(entry.number, entry.log.error)

    def _end(self, entry: Entry) -> None:
        if entry.slot is not None:
            self._sampler.remove(entry.slot)
        if entry.log.error is None and entry.writing:
            self._scheduler.drop(entry)
        else:  # others are spared what it wrote: that these are numbers is seen when a token is drawn
            self._cache.clear(self._tables.alone(entry))
            self._scheduler.discard(entry)
        del self._entries[entry.number]
