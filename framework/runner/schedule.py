"""What runs in the next step: some tokens of some requests, within a budget of tokens and of pages."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from triptych.runner.entry import Entry
from triptych.runner.tables import Copy, PageTables


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next `count` tokens of a request that is read."""

    entry: Entry
    count: int

    @property
    def is_last(self) -> bool:
        """Whether nothing is left to read after it: a token is drawn."""
        return self.entry.read + self.count == len(self.entry.tokens)


@dataclass
class Plan:
    """A step: a token of each of the `writers`, in the order of their first pages, and `chunks` of others.

    Requests in `stopped` have lost their pages and the slot beside them, those in `started` have got theirs.
    """

    writers: Sequence[Entry] = ()
    chunks: list[Chunk] = field(default_factory=list)
    started: list[Entry] = field(default_factory=list)
    stopped: list[tuple[Entry, int]] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        """Whose tokens are computed, in the order of these."""
        return [*self.writers, *(chunk.entry for chunk in self.chunks)]

    @property
    def tokens(self) -> int:
        """How many tokens are computed."""
        return len(self.writers) + sum(chunk.count for chunk in self.chunks)


class Scheduler:
    """First come, first served: `seqs` requests run at a time, no more than the `tokens` that go into a step.

    Those that write go before those that are read, so that a long prompt holds nobody up: it is read in chunks. Where
    pages run out, the youngest request gives its own back and begins again later. Rows that are there already are not
    computed again.

    A prompt is read as far as there are pages for it, and up to what has to be read whole and is too much for a step.
    A request that writes is looked at when it fills a page, not at each step; what it has written is named when another
    comes that might begin alike, and when it ends.
    """

    def __init__(self, tables: PageTables, *, seqs: int, tokens: int) -> None:
        self._tables, self._seqs, self._tokens = tables, min(seqs, tokens), tokens
        self.waiting: deque[Entry] = deque()
        self.running: list[Entry] = []  # the oldest first
        self._writers: list[Entry] | None = []  # None when it is to be made anew
        self._slots = [*range(seqs)]
        heapify(self._slots)
        self._clock, self._due = 0, dict[int, list[Entry]]()

    def add(self, entry: Entry) -> None:
        """A request waits for its turn."""
        self.waiting.append(entry)

    def plan(self) -> Plan:
        """The next step; it has no work when there is nothing to do."""
        plan = Plan()
        self._clock += 1
        for entry in self._due.pop(self._clock, ()):
            if entry.writing and entry.due == self._clock and not entry.resting:
                self._serve(entry, plan)
        writers = self._ordered()
        left = self._tokens - len(writers)
        if len(writers) < len(self.running):
            left = self._continue(plan, left)
        if self.waiting and not plan.stopped:
            self._admit(plan, left)
        plan.writers = self._ordered()
        plan.chunks = [chunk for chunk in plan.chunks if chunk.entry.slot is not None]
        return plan

    def advance(self, chunk: Chunk) -> bool:
        """The tokens of a chunk are in the cache -> whether they were the last: the request writes from now on."""
        entry, is_last = chunk.entry, chunk.is_last
        entry.read += chunk.count
        if not is_last:
            return False
        entry.writing, self._writers = True, None
        self._look_at(entry, self._clock + 1)
        return True

    def rest(self, entry: Entry) -> None:
        """Nothing more of a request that writes is planned; it keeps what it has until it is dropped."""
        entry.resting, self._writers = True, None

    @property
    def is_short(self) -> bool:
        """Whether the next plan may find too few pages for those that write, so that somebody has to make way."""
        return len(self._due.get(self._clock + 1, ())) * self._tables.groups > self._tables.pool.available

    def drop(self, entry: Entry) -> None:
        """A request has ended, or is wanted no longer."""
        if entry.slot is None:
            self.waiting.remove(entry)
            return
        self.running.remove(entry)
        self._give_back(entry)
        if entry in (due := self._due.get(entry.due, [])):
            due.remove(entry)  # else it would be kept, images and all, until that step comes

    def discard(self, entry: Entry) -> None:
        """A request has failed, or ended before anybody saw numbers of it: nobody may find what it wrote."""
        for page in self._tables.alone(entry):
            self._tables.pool.forget(page, after=0)
        entry.read, entry.writing = 0, False  # nothing to learn
        self.drop(entry)

    def _ordered(self) -> Sequence[Entry]:
        if self._writers is None:
            writers = (each for each in self.running if each.writing and not each.resting)
            self._writers = sorted(writers, key=lambda each: each.tables[0][0])
        return self._writers

    def _serve(self, entry: Entry, plan: Plan) -> None:
        """See to the pages of a request that writes."""
        if self._has_room(entry, plan):
            self._look_at(entry, self._clock + self._tables.spare(entry))

    def _look_at(self, entry: Entry, step: int) -> None:
        entry.due = step
        self._due.setdefault(step, []).append(entry)

    def _continue(self, plan: Plan, left: int) -> int:
        for entry in [each for each in self.running if not each.writing]:
            if left and entry.slot is not None:
                left -= self._read_on(entry, left, plan)
        return left

    def _read_on(self, entry: Entry, left: int, plan: Plan) -> int:
        """Plan the next chunk of a prompt, of `left` tokens at the most -> how many of these others do not get."""
        most = min(len(entry.tokens) - entry.read, left)
        if count := entry.up_to(self._tables.most(entry, entry.up_to(most))):
            self._tables.grow(entry, entry.read + count)
            plan.chunks.append(Chunk(entry, count))
        # Where there is no room for more it waits, and none that came later goes before it: whoever has pages came
        # before, and ends.
        return count if count == most else left

    def _admit(self, plan: Plan, left: int) -> None:
        if left and len(self.running) < self._seqs:
            for each in self.running:
                self._tables.learn(each)
        while self.waiting and left and len(self.running) < self._seqs:
            entry = self.waiting[0]
            if (copies := self._tables.begin(entry)) is None:
                return
            self.waiting.popleft()
            self.running.append(entry)
            entry.slot = heappop(self._slots)
            plan.started.append(entry)
            plan.copies += copies
            left -= self._read_on(entry, left, plan)

    def _has_room(self, entry: Entry, plan: Plan) -> bool:
        """Find a page for the next row of a request that writes; the youngest make way, at last it itself."""
        while not self._tables.grow(entry, len(entry.tokens)):
            if self._stop_youngest(plan) is entry:
                return False
        return True

    def _stop_youngest(self, plan: Plan) -> Entry:
        youngest = self.running.pop()
        plan.stopped.append((youngest, self._give_back(youngest)))
        self.waiting.appendleft(youngest)
        return youngest

    def _give_back(self, entry: Entry) -> int:
        """Its pages and its slot, which is returned."""
        self._tables.learn(entry)
        self._tables.release(entry)
        entry.writing, entry.hidden = False, []
        slot, entry.slot, self._writers = entry.slot, None, None
        assert slot is not None
        heappush(self._slots, slot)
        return slot
