"""What an engine holds of its requests while it runs them; it begins anew when it was left in the middle."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from triptych.parts.cache import Cache
from triptych.runner.encoded import EncodedItems
from triptych.runner.entry import Entry
from triptych.runner.flight import Flight, Landed
from triptych.runner.graphs import Capture, DecodeGraphs
from triptych.runner.launch import launch
from triptych.runner.pages import PagePool
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.request import RunOptions
from triptych.runner.sampling import Sampler
from triptych.runner.schedule import Plan, Scheduler
from triptych.runner.sizes import Sizes
from triptych.runner.staged import Staged
from triptych.runner.step_items import StepItems
from triptych.runner.tables import PageTables


class EngineState:
    """Pages, turns, what draws tokens, rows of items, and the steps in flight; `tokens` of one at the most."""

    def __init__(
        self,
        model: TextGenerationModel,
        cache: Cache,
        sizes: Sizes,
        run: RunOptions,
        *,
        tokens: int,
        end_ids: AbstractSet[int],
        capture: Capture | None = None,
    ) -> None:
        self._model, self._cache = model, cache
        self._graphs = DecodeGraphs(model, cache, sizes, capture) if capture else None
        self.pool = PagePool(sizes.layout.pages)
        self._tables = PageTables(self.pool, sizes.layout.groups, reuse=not cache.states)
        self.scheduler = Scheduler(self._tables, seqs=sizes.seqs, tokens=tokens)
        self.sampler = Sampler(sizes.seqs, vocab_size=model.vocab_size, device=run.device, end_ids=end_ids)
        apart = not isinstance(model, Staged)
        self.encoded = EncodedItems(model, budget=run.encoder_cache_bytes, device=run.device, apart=apart)
        self.flights = deque[Flight]()

    @property
    def has_to_wait(self) -> bool:
        """Whether the next step needs what is in flight: its tokens, or the pages of who may have ended by them."""
        return any(flight.is_needed for flight in self.flights) or (bool(self.flights) and self.scheduler.is_short)

    def prepare(self, plan: Plan) -> None:
        """Who has made way draws no more, who begins does, and pages are copied that several go on from."""
        for _, slot in plan.stopped:
            self.sampler.remove(slot)
        for entry in plan.started:
            assert entry.slot is not None
            prompt = entry.request.prompt.token_ids
            self.sampler.add(entry.slot, entry.options, prompt, answer_ids=entry.answer_ids, mask=entry.form)
        for copy in plan.copies:
            self._cache.copy(copy.group, copy.source.page, copy.to, copy.source.rows)

    def launch(self, plan: Plan, items: StepItems) -> None:
        """Ask the device for a step. Raises what the model does."""
        before = self.flights[-1] if self.flights else None
        given = self._model, self._cache, self.sampler
        flight = launch(*given, plan=plan, items=items, before=before, graphs=self._graphs)
        for chunk in plan.chunks:
            self.scheduler.advance(chunk)
        for entry in flight.entries:
            entry.foresee()
            if entry.has_its_last:
                self.scheduler.rest(entry)
        self.flights.append(flight)

    def landed(self, *, leave: int) -> Iterator[Landed]:
        """What was drawn in all flights but the last ones, which are left."""
        while len(self.flights) > leave:
            yield from self.flights.popleft().land()

    def end(self, entry: Entry, *, is_sound: bool) -> bool:
        """No more comes of a request -> whether its pages and its slot went back: not while any of it is in flight."""
        if entry.ahead:
            self.scheduler.rest(entry)
            return False
        if entry.slot is not None:
            self.sampler.remove(entry.slot)
        if entry.log.error is None and entry.writing and is_sound:
            self.scheduler.drop(entry)
        else:  # others are spared what it wrote: that these are numbers is seen when a token is drawn
            self._cache.clear(self._tables.alone(entry))
            self.scheduler.discard(entry)
        return True
