"""What is told when updates and a prompt do not fit together."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from triptych.errors import Problem, PromptUpdateError, short
from triptych.inputs.updates.codec import TextCodec
from triptych.inputs.updates.planning import Item, Plan
from triptych.inputs.updates.searching import Found, Searched
from triptych.inputs.updates.targets import Target
from triptych.inputs.updates.update import ItemUpdates, ResolvedPromptUpdate, UpdateMode

HINT = "is the placeholder text missing from the prompt, or was the chat template not applied?"
SHOWN = 20  # tokens of a prompt that an error shows


def check_unplaced(
    plan: Plan, prompt: Searched, token_ids: Sequence[int], *, tokenizer: TextCodec | None, searched: str
) -> None:
    """Raise PromptUpdateError for items without a place, with the targets of each and how the prompt begins."""
    if not plan.unplaced:
        return
    problems = [
        Problem(_unplaced(item, prompt, plan, tokenizer), f"{item.modality}[{item.item_idx}]") for item in plan.unplaced
    ]
    shown = f"{list(token_ids[:SHOWN])}{_text(token_ids[:SHOWN], tokenizer)}"
    more = " and begins with" if len(token_ids) > SHOWN else ":"
    problems.append(Problem(f"the prompt has {len(token_ids)} tokens{more} {shown}; {searched}; {HINT}"))
    raise PromptUpdateError(problems)


def _unplaced(item: Item, prompt: Searched, plan: Plan, tokenizer: TextCodec | None) -> str:
    if not item.updates:
        return "it has no update, so nothing says where it belongs"
    targets = " or ".join(told_target(update.target, tokenizer) for update in item.updates)
    found = [match for update in item.updates for match in _matches(prompt, update.target)]
    taken = {(applied.start, applied.end) for applied in plan.applied if applied.start < applied.end}
    if found and all((match.start, match.end) in taken for match in found):
        times = f"{len(found)} time{'s' * (len(found) > 1)}"
        return f"its target {targets} stands {times} in the prompt, each for another item; write one for each item"
    if found:
        return f"its target {targets} stands only before places where updates are applied already; declare it earlier"
    return f"nothing matches its target {targets}"


def _matches(prompt: Searched, target: Target) -> Iterator[Found]:
    """Every match of a target, where those that overlap count once."""
    start = 0
    while (match := prompt.find(target, start)) and match.at >= start:  # the end is found from anywhere
        yield match
        start = max(match.end, match.at + 1)


def check_left_over(updates: ItemUpdates, prompt: Searched, plan: Plan, *, tokenizer: TextCodec | None) -> None:
    """Raise PromptUpdateError for targets of replacements that no item is left for, unless they allow for more."""
    problems, kept = list[Problem](), _kept(plan, len(prompt))
    for update in _exact(updates):
        if count := sum(1 for _ in _occurrences(prompt, update.target, kept)):
            items = len(updates[update.modality])
            found = f"its target {told_target(update.target, tokenizer)} is left {count} more time{'s' * (count > 1)}"
            message = f"{found} in the prompt than the {items} given item{'s' * (items > 1)} take{'s' * (items == 1)}"
            would = "give an item for each, take the rest out of the prompt, or let the update say allow_extra"
            problems.append(Problem(f"{message}; {would}", update.modality))
    if problems:
        raise PromptUpdateError(problems)


def told_target(target: Target, tokenizer: TextCodec | None) -> str:
    """A target for messages: its token ids, and its text where there is a tokenizer."""
    if isinstance(target, tuple):
        return f"{short(list(target))}{_text(target, tokenizer)}"
    return f"{target}{_text(target.tokens, tokenizer)}"


def _exact(updates: ItemUpdates) -> Iterable[ResolvedPromptUpdate]:
    """The replacements that must use up their targets, one a target."""
    every = (update for items in updates.values() for alternatives in items for update in alternatives)
    exact = (u for u in every if u.mode is UpdateMode.REPLACE and isinstance(u.target, tuple) and not u.allow_extra)
    return {update.target: update for update in reversed([*exact])}.values()


def _kept(plan: Plan, length: int) -> list[tuple[int, int]]:
    """The pieces of the prompt that stay, with nothing put in between."""
    starts = [0, *(applied.end for applied in plan.applied)]
    return list(zip(starts, [*(applied.start for applied in plan.applied), length], strict=True))


def _occurrences(prompt: Searched, target: Target, kept: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Where the target stands whole within a piece; occurrences that overlap count once."""
    start = 0
    while found := prompt.find(target, start):
        piece = kept[bisect_right(kept, found.at, key=lambda each: each[0]) - 1]
        inside = found.end <= piece[1]
        start = found.end if inside else found.at + 1
        if inside:
            yield found.at


def _text(token_ids: Sequence[int], tokenizer: TextCodec | None) -> str:
    return f" ({short(tokenizer.decode_whole(token_ids))})" if tokenizer and token_ids else ""
