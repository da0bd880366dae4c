"""Which update is applied where: matches are taken from left to right, and what an update brings is not searched.

Items with the same targets in the same order wait in one queue. In each round every queue looks for its first match
behind the last one applied, by the first of its alternatives that has one. The queue whose next item is declared first
says whether the round inserts or replaces. Matches of no width, as all insertions have, take their whole queues; of
those that replace something only the leftmost is applied, to one item. Queues that wait through a round look again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from triptych.inputs.updates.searching import Searched
from triptych.inputs.updates.targets import Target
from triptych.inputs.updates.update import ItemUpdates, ResolvedPromptUpdate, UpdateMode

Rule = tuple[UpdateMode, Target]


class Item(NamedTuple):
    """One item, numbered over all modalities in the order of their declaration, with its alternatives."""

    order: int
    modality: str
    item_idx: int
    updates: Sequence[ResolvedPromptUpdate]


class Applied(NamedTuple):
    """The content of an update takes the place of what stands from `start` to `end`, which may be nothing."""

    start: int
    end: int
    update: ResolvedPromptUpdate


@dataclass(frozen=True)
class Plan:
    """What is applied, from left to right, without overlaps, and the items that found no place."""

    applied: list[Applied]
    unplaced: list[Item]


def plan_updates(prompt: Searched, updates: ItemUpdates) -> Plan:
    """Find each item its place; what stays unplaced is told, not refused."""
    everything = _queues(updates)
    applied, queues, end = list[Applied](), everything, 0
    while queues := [queue for queue in queues if queue.items and queue.search(prompt, end)]:
        for queue, match in _round(queues):
            if match.start >= end:  # else it lies within what this round has replaced: the queue looks again
                applied.append(Applied(match.start, match.end, queue.items.popleft().updates[match.alternative]))
                end = match.end
    return Plan(applied, sorted(item for queue in everything for item in queue.items))


class _Match(NamedTuple):
    """Where the target of an alternative begins, and what its content takes the place of."""

    at: int
    start: int
    end: int
    alternative: int
    mode: UpdateMode


@dataclass
class _Queue:
    rules: tuple[Rule, ...]
    items: deque[Item] = field(default_factory=deque)
    match: _Match | None = None

    def search(self, prompt: Searched, start: int) -> _Match | None:
        """The first match that begins at or after `start`; what was found before is kept while it does."""
        if self.match is None or self.match.at < start:
            self.match = next(self._matches(prompt, start), None)
        return self.match

    def _matches(self, prompt: Searched, start: int) -> Iterator[_Match]:
        for number, (mode, target) in enumerate(self.rules):
            if found := prompt.find(target, start):
                first = found.end if mode is UpdateMode.INSERT else found.start
                yield _Match(found.at, first, found.end, number, mode)


def _queues(updates: ItemUpdates) -> list[_Queue]:
    queues, order = dict[tuple[Rule, ...], _Queue](), 0
    for modality, items in updates.items():
        for item_idx, alternatives in enumerate(items):
            rules = tuple((update.mode, update.target) for update in alternatives)
            queue = queues.setdefault(rules, _Queue(rules))
            queue.items.append(Item(order, modality, item_idx, alternatives))
            order += 1
    return list(queues.values())


def _round(queues: Sequence[_Queue]) -> Iterator[tuple[_Queue, _Match]]:
    """What one round applies, from left to right: of each item, its queue and its match."""
    matching = [(queue.items[0].order, queue, queue.match) for queue in queues if queue.match]
    mode = min(matching, key=itemgetter(0))[2].mode
    matching = [found for found in matching if found[2].mode is mode]
    chosen = [(item.order, queue, m) for _, queue, m in matching if m.start == m.end for item in queue.items]
    if wide := [found for found in matching if found[2].start < found[2].end]:
        chosen.append(min(wide, key=lambda found: (found[2].start, found[0])))
    for _, queue, match in sorted(chosen, key=lambda found: (found[2].start, found[2].end, found[0])):
        yield queue, match
