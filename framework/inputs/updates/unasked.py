"""Targets in a prompt that brings no item for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from triptych.errors import Problem, PromptUpdateError
from triptych.inputs.updates.codec import TextCodec
from triptych.inputs.updates.faults import told_target
from triptych.inputs.updates.placed import AppliedUpdates
from triptych.inputs.updates.targets import PromptIndex
from triptych.inputs.updates.update import PromptUpdate, UpdateMode, target_of


def check_unasked(
    updates: Iterable[PromptUpdate],
    counts: Mapping[str, int],
    applied: AppliedUpdates,
    *,
    tokenizer: TextCodec | None = None,
) -> None:
    """Raise PromptUpdateError for targets that stand in a prompt of which `counts` has no item of their modality.

    As for targets that are left over when there are items: replacements alone, unless they allow for more. Targets that
    depend on the item, and what other items brought into the prompt, are not looked at.
    """
    pieces = [*_pieces(applied)]
    taken = {target for update in updates if counts.get(update.modality) for target in _tokens(update, tokenizer)}
    problems = []
    for update in updates:
        for target in () if counts.get(update.modality) else {*_tokens(update, tokenizer)} - taken:
            if count := sum(_count(piece, target) for piece in pieces):
                found = f"the prompt has its target {told_target(target, tokenizer)} {count} time{'s' * (count > 1)}"
                would = "give an item for each, take them out of the prompt, or let the update say allow_extra"
                problems.append(Problem(f"{found}, and no item is given; {would}", update.modality))
    if problems:
        raise PromptUpdateError(problems)


def _tokens(update: PromptUpdate, tokenizer: TextCodec | None) -> Iterator[tuple[int, ...]]:
    """The target, where it is tokens that are the same for every item and that must be used up."""
    if update.mode is UpdateMode.INSERT or update.allow_extra or callable(update.target):
        return
    if isinstance(update.target, str) and tokenizer is None:
        return
    target = target_of(update.target, tokenizer, f"{update.modality}.target")
    if not isinstance(target, PromptIndex) and target:
        yield target


def _pieces(applied: AppliedUpdates) -> Iterator[tuple[int, ...]]:
    """What stands before, between and behind the contents of items."""
    start = 0
    for one in sorted((one for found in applied.placeholders.values() for one in found), key=lambda one: one.start_idx):
        yield tuple(applied.token_ids[start : one.start_idx])
        start = one.start_idx + one.length
    yield tuple(applied.token_ids[start:])


def _count(piece: Sequence[int], target: tuple[int, ...]) -> int:
    return sum(piece[at : at + len(target)] == target for at in range(len(piece) - len(target) + 1))
