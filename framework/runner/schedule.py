"""What runs in the next step: some tokens of some requests, within a budget of tokens and of pages."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from triptych.runner.entry import Entry
from triptych.runner.pages import PagePool, Place
from triptych.runner.prefix import BLOCK


@dataclass(frozen=True, slots=True)
class Work:
    """The next `count` tokens of a request."""

    entry: Entry
    count: int


class Copy(NamedTuple):
    """Rows of one page that another page begins with."""

    source: Place
    to: int


@dataclass
class Plan:
    """A step. Requests in `stopped` have lost their pages and their slot, those in `started` have got theirs."""

    works: list[Work] = field(default_factory=list)
    started: list[Entry] = field(default_factory=list)
    stopped: list[tuple[Entry, int]] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)


class Scheduler:
    """First come, first served: `seqs` requests run at a time, `tokens` tokens go into a step.

    Those that write go before those that read, so that a long prompt holds nobody up: it is read in pieces. Where pages
    run out, the youngest request gives its own back and begins again later. Rows that are there already are not
    computed again, with `reuse`.
    """

    def __init__(self, pool: PagePool, *, seqs: int, tokens: int, reuse: bool = True) -> None:
        self._pool, self._seqs, self._tokens, self._reuse = pool, seqs, tokens, reuse
        self.waiting: deque[Entry] = deque()
        self.running: list[Entry] = []
        self._slots = [*range(seqs)]
        heapify(self._slots)

    def add(self, entry: Entry) -> None:
        """A request waits for its turn."""
        self.waiting.append(entry)

    def plan(self) -> Plan:
        """The next step; it has no work when there is nothing to do."""
        plan, left = Plan(), self._tokens
        for entry in sorted(self.running, key=lambda each: each.missing > 1):  # a stable sort: by age otherwise
            if entry.slot is None or not left:
                continue
            count = min(entry.missing, left)
            if self._has_room(entry, entry.rows + count, plan):
                plan.works.append(Work(entry, count))
                left -= count
        if not plan.stopped:
            self._admit(plan, left)
        plan.works = [work for work in plan.works if work.entry.slot is not None]
        return plan

    def advance(self, work: Work) -> None:
        """The tokens of a work are in the cache; what they fill can be found by others."""
        entry, before = work.entry, work.entry.rows
        entry.rows += work.count
        if self._reuse and (new := range(before // BLOCK, entry.rows // BLOCK)):
            names = entry.names.of(entry.tokens, entry.rows)
            for number in new:
                self._pool.learn(names[number], self._place(entry, number))

    def drop(self, entry: Entry) -> None:
        """A request has ended, or is wanted no longer."""
        if entry.slot is None:
            self.waiting.remove(entry)
            return
        self.running.remove(entry)
        self._give_back(entry)

    def _admit(self, plan: Plan, left: int) -> None:
        while self.waiting and left and len(self.running) < self._seqs:
            entry = self.waiting[0]
            copies = self._found(entry)
            if not self._grow(entry, len(entry.tokens)):
                self._release(entry)
                return
            self.waiting.popleft()
            self.running.append(entry)
            entry.slot = heappop(self._slots)
            count = min(entry.missing, left)
            plan.started.append(entry)
            plan.copies += copies
            plan.works.append(Work(entry, count))
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
        if needed > self._pool.available:
            return False
        entry.table += [self._pool.take() for _ in range(needed)]
        return True

    def _give_back(self, entry: Entry) -> int:
        """Its pages and its slot, which is returned."""
        self._release(entry)
        slot, entry.slot = entry.slot, None
        assert slot is not None
        heappush(self._slots, slot)
        return slot

    def _release(self, entry: Entry) -> None:
        for page in reversed(entry.table):  # the end of a sequence is of less use to others than its start
            self._pool.release(page)
        entry.table, entry.rows, entry.hidden = [], 0, []

    def _found(self, entry: Entry) -> list[Copy]:
        """Give a request the rows that are there already: whole pages are shared, the last in part is copied."""
        if not self._reuse or not entry.may_reuse:
            return []
        copies: list[Copy] = []
        for place in self._known(entry):
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
            entry.rows += place.rows
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

    def _place(self, entry: Entry, number: int) -> Place:
        """Where a block ends."""
        page, row = divmod(number * BLOCK, self._pool.page)
        return Place(entry.table[page], row + BLOCK)
