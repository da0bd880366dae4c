"""Planning said again, slowly and plainly, and random updates to try it on."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from triptych.inputs.updates import (
    ItemUpdates,
    PromptIndexTargets,
    PromptInsertion,
    PromptReplacement,
    PromptUpdate,
    PromptUpdateDetails,
    ResolvedPromptUpdate,
    UpdateMode,
)
from triptych.inputs.updates.targets import Position, PromptIndex

Placed = dict[int, tuple[int, int, ResolvedPromptUpdate]]
"""By number of the item: what its content takes the place of, and the update."""


def plan(prompt: list[int], items: list[list[ResolvedPromptUpdate]]) -> Placed:
    """What is applied where, by the words of the contract; items that are not in it found no place."""
    placed: Placed = {}
    last = 0
    while True:
        found = []  # of each queue: its items, mode and match
        for queue in queues(items, placed):
            for number, update in enumerate(items[queue[0]]):
                match = first_match(prompt, update, last)
                if match is not None:
                    found.append((queue, number, update.mode, match))
                    break
        if not found:
            return placed
        mode = min(found, key=lambda each: each[0][0])[2]
        found = [each for each in found if each[2] is mode]
        now = [(match, order, number) for queue, number, _, match in found if empty(match) for order in queue]
        wide = sorted((match[0], queue[0], number, match) for queue, number, _, match in found if not empty(match))
        now += [(match, order, number) for _, order, number, match in wide[:1]]
        for match, order, number in sorted(now):
            if match[0] >= last:
                placed[order] = (*match, items[order][number])
                last = match[1]


def queues(items: list[list[ResolvedPromptUpdate]], placed: Placed) -> list[list[int]]:
    """Numbers of the items that are not placed, those with the same rules together."""
    found: list[list[int]] = []
    for order, updates in enumerate(items):
        rules = [(update.mode, update.target) for update in updates]
        same = (q for q in found if [(u.mode, u.target) for u in items[q[0]]] == rules)
        if order not in placed:
            queue = next(same, None)
            if queue is None:
                found.append([order])
            else:
                queue.append(order)
    return found


def first_match(prompt: list[int], update: ResolvedPromptUpdate, last: int) -> tuple[int, int] | None:
    """What the content takes the place of at the first match at or after `last`."""
    target = update.target
    if isinstance(target, PromptIndex):
        width = len(target.tokens)
        if target.position is Position.END:
            return len(prompt), len(prompt)
        return (width, width) if last == 0 and prompt[:width] == list(target.tokens) else None
    for start in range(last, len(prompt)):
        if target and prompt[start : start + len(target)] == list(target):
            end = start + len(target)
            return (end, end) if update.mode is UpdateMode.INSERT else (start, end)
    return None


def empty(match: tuple[int, int]) -> bool:
    return match[0] == match[1]


def left_over(prompt: list[int], items: list[list[ResolvedPromptUpdate]], placed: Placed) -> set[tuple[int, ...]]:
    """Targets that must be used up and stand in what is kept of the prompt."""
    cuts = sorted((start, end) for start, end, _ in placed.values())
    pieces = [
        prompt[a:b] for a, b in zip([0, *(c[1] for c in cuts)], [*(c[0] for c in cuts), len(prompt)], strict=True)
    ]
    exact = [u for updates in items for u in updates if u.mode is UpdateMode.REPLACE and not u.allow_extra]
    targets = {update.target for update in exact if isinstance(update.target, tuple) and update.target}
    return {t for t in targets for piece in pieces for i in range(len(piece)) if piece[i : i + len(t)] == list(t)}


def written(prompt: list[int], placed: Placed) -> list[int]:
    """The prompt with the contents in it, in the order in which they were applied."""
    found, last = list[int](), 0
    for start, end, update in placed.values():
        found += prompt[last:start] + update.content.full
        last = end
    return found + prompt[last:]


ALPHABET = st.sampled_from([1, 2, 3])
PROMPTS = st.lists(ALPHABET, max_size=12)
SPOTS = st.one_of(
    st.sampled_from([PromptIndexTargets.start(), PromptIndexTargets.end()]),
    st.lists(ALPHABET, max_size=2).map(PromptIndexTargets.prefix),
)
TARGETS = st.one_of(st.lists(ALPHABET, max_size=3), st.lists(ALPHABET, min_size=1, max_size=2), SPOTS)
KINDS = st.sampled_from([PromptInsertion, PromptReplacement])
EXTRA = st.booleans()


@st.composite
def updates(draw: st.DrawFn, *, targets: st.SearchStrategy = TARGETS, kinds: st.SearchStrategy = KINDS) -> ItemUpdates:
    """Some items of two modalities; most share what they look for. Each content begins with a number of its own."""
    shared = draw(st.lists(st.lists(st.tuples(kinds, targets, EXTRA), min_size=1, max_size=2), min_size=1, max_size=3))
    found: dict[str, list[list[ResolvedPromptUpdate]]] = {}
    number = 100
    for modality in ("image", "audio"):
        found[modality] = []
        for item, rules in enumerate(draw(st.lists(st.sampled_from(shared), max_size=4))):
            made: list[PromptUpdate] = [kind(modality, target, [], allow_extra=extra) for kind, target, extra in rules]
            number += 1
            content = PromptUpdateDetails([number, *draw(st.lists(ALPHABET, max_size=2))])
            found[modality].append([replace(update.resolve(item), content=content) for update in made])
    return found


def flat(updates: ItemUpdates) -> list[list[ResolvedPromptUpdate]]:
    """The items in the order of their declaration."""
    return [list(alternatives) for items in updates.values() for alternatives in items]
