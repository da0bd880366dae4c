"""What runs in the next step: some tokens of some requests, within a budget of tokens and of pages."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from triptych.runner.entry import Entry
from triptych.runner.pages import PagePool, Place
from triptych.runner.prefix import BLOCK


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next `count` tokens of a request that is read."""

    entry: Entry
    count: int


@dataclass(frozen=True, slots=True)
class Copy:
    """Rows of one page that another page begins with."""

    source: Place
    to: int


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


class Scheduler:
    """First come, first served: `seqs` requests run at a time, no more than the `tokens` that go into a step.

    Those that write go before those that are read, so that a long prompt holds nobody up: it is read in chunks. Where
    pages run out, the youngest request gives its own back and begins again later. Rows that are there already are not
    computed again, with `reuse`.

    A request that writes is looked at when it fills a page, not at each step; what it has written is named when another
    comes that might begin alike, and when it ends.
    """

    def __init__(self, pool: PagePool, *, seqs: int, tokens: int, reuse: bool = True) -> None:
        self._pool, self._seqs, self._tokens, self._reuse = pool, min(seqs, tokens), tokens, reuse
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
            if entry.writing and entry.due == self._clock:
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
        entry = chunk.entry
        entry.read += chunk.count
        if entry.read < len(entry.tokens):
            return False
        entry.writing, self._writers = True, None
        self._look_at(entry, self._clock + 1)
        return True

    def drop(self, entry: Entry) -> None:
        """A request has ended, or is wanted no longer."""
        if entry.slot is None:
            self.waiting.remove(entry)
            return
        self.running.remove(entry)
        self._give_back(entry)

    def _ordered(self) -> Sequence[Entry]:
        if self._writers is None:
            self._writers = sorted((each for each in self.running if each.writing), key=lambda each: each.table[0])
        return self._writers

    def _serve(self, entry: Entry, plan: Plan) -> None:
        """See to the pages of a request that writes."""
        rows = len(entry.tokens) - 1
        if self._has_room(entry, rows + 1, plan):
            self._look_at(entry, self._clock + len(entry.table) * self._pool.page - rows)

    def _look_at(self, entry: Entry, step: int) -> None:
        entry.due = step
        self._due.setdefault(step, []).append(entry)

    def _continue(self, plan: Plan, left: int) -> int:
        for entry in [each for each in self.running if not each.writing]:
            if left and entry.slot is not None:
                count = min(len(entry.tokens) - entry.read, left)
                plan.chunks.append(Chunk(entry, count))  # its pages were taken when it was admitted
                left -= count
        return left

    def _admit(self, plan: Plan, left: int) -> None:
        if left and len(self.running) < self._seqs:
            for each in self.running:
                self._learn(each)
        while self.waiting and left and len(self.running) < self._seqs:
            entry = self.waiting[0]
            copies = self._found(entry)
            if not self._grow(entry, len(entry.tokens)):
                self._release(entry)
                return
            self.waiting.popleft()
            self.running.append(entry)
            entry.slot = heappop(self._slots)
            count = min(len(entry.tokens) - entry.read, left)
            plan.started.append(entry)
            plan.copies += copies
            plan.chunks.append(Chunk(entry, count))
            left -= count

    def _has_room(self, entry: Entry, rows: int, plan: Plan) -> bool:
        """Find pages for the rows of a request that runs; the youngest make way, at last it itself."""
        while not self._grow(entry, rows):
            youngest = self.running.pop()
            plan.stopped.append((youngest, self._give_back(youngest)))
            self.waiting.appendleft(youngest)
            if youngest is entry:
                return False
        return True

    def _grow(self, entry: Entry, rows: int) -> bool:
        needed = -(-rows // self._pool.page) - len(entry.table)
        if needed > 0:
            if needed > self._pool.available:
                return False
            for _ in range(needed):
                entry.table.append(self._pool.take())
        return True

    def _give_back(self, entry: Entry) -> int:
        """Its pages and its slot, which is returned."""
        self._learn(entry)
        self._release(entry)
        slot, entry.slot, self._writers = entry.slot, None, None
        assert slot is not None
        heappush(self._slots, slot)
        return slot

    def _release(self, entry: Entry) -> None:
        for page in reversed(entry.table):  # the end of a sequence is of less use to others than its start
            self._pool.release(page)
        entry.table, entry.read, entry.learned, entry.writing, entry.hidden = [], 0, 0, False, []

    def _learn(self, entry: Entry) -> None:
        """What a request has filled since it was last asked can be found by others."""
        if not self._reuse or (blocks := entry.rows // BLOCK) == entry.learned:
            return
        names, page = entry.names.of(entry.tokens, blocks * BLOCK), self._pool.page
        for number in range(entry.learned, blocks):
            at, row = divmod(number * BLOCK, page)
            self._pool.learn(names[number], Place(entry.table[at], row + BLOCK))
        entry.learned = blocks

    def _found(self, entry: Entry) -> list[Copy]:
        """Give a request the rows that are there already: whole pages are shared, the last in part is copied."""
        copies: list[Copy] = []
        for place in self._known(entry) if self._reuse and entry.may_reuse else ():
            if place.rows == self._pool.page:
                self._pool.share(place.page)
                entry.table.append(place.page)
            elif self._pool.claim(place):
                entry.table.append(place.page)
            elif self._pool.available:
                entry.table.append(self._pool.take())
                copies.append(Copy(place, entry.table[-1]))
            else:
                break
            entry.read += place.rows
        entry.learned = entry.read // BLOCK
        return copies

    def _known(self, entry: Entry) -> Iterator[Place]:
        """The places of the blocks that are known, a page at a time, but for the last token: its logits are asked."""
        most = len(entry.tokens) - 1
        last: Place | None = None
        for name in entry.names.of(entry.tokens, most)[: most // BLOCK]:
            if (place := self._pool.find(name)) is None:
                break
            if last and last.rows == self._pool.page:
                yield last
            last = place
        if last:
            yield last
