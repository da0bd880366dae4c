"""From a prompt and the updates of its items to the prompt that the model sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from triptych.arguments import check_arguments
from triptych.errors import Problem, PromptUpdateError
from triptych.inputs.updates.codec import TextCodec
from triptych.inputs.updates.fallback import text_prompt, write_as_text, write_by_piece
from triptych.inputs.updates.faults import check_left_over, check_unplaced
from triptych.inputs.updates.placed import AppliedUpdates, by_item
from triptych.inputs.updates.planning import plan_updates
from triptych.inputs.updates.searching import TokenPrompt
from triptych.inputs.updates.update import ItemUpdates
from triptych.inputs.updates.writing import write


def apply_prompt_updates(
    token_ids: Sequence[int],
    updates: ItemUpdates,
    *,
    tokenizer: TextCodec | None = None,
    allow_fallback: bool = True,
    by_piece: bool = False,
) -> AppliedUpdates:
    """Apply one of the alternatives `updates[modality][item]` for each item; `bind_updates` makes them.

    Where some item's target is not among the tokens, the prompt is searched as text, with a tokenizer and unless
    `allow_fallback` is off, and encoded anew: whole, or `by_piece`, so that each content keeps its tokens as given.
    Raises PromptUpdateError for items without a place, for targets left over, and for updates of another item.
    """
    check_arguments(token_ids=(token_ids, Sequence), updates=(updates, Mapping))
    _check_bound(updates)
    every = (update.target for items in updates.values() for alternatives in items for update in alternatives)
    prompt = TokenPrompt(ids := list(token_ids), every)
    plan = plan_updates(prompt, updates)
    if plan.unplaced and tokenizer is not None and allow_fallback:
        return _apply_to_text(ids, updates, tokenizer, by_piece=by_piece)
    why = "its text is not searched, as " + ("no tokenizer is given" if tokenizer is None else "allow_fallback is off")
    check_unplaced(plan, prompt, ids, tokenizer=tokenizer, searched=why)
    check_left_over(updates, prompt, plan, tokenizer=tokenizer)
    found, placed = write(plan, lambda start, end: ids[start:end], length=len(ids))
    return AppliedUpdates(found, by_item(updates, placed), used_fallback=False)


def _apply_to_text(ids: list[int], updates: ItemUpdates, tokenizer: TextCodec, *, by_piece: bool) -> AppliedUpdates:
    prompt = text_prompt(ids, updates, tokenizer)
    plan = plan_updates(prompt, updates)
    check_unplaced(plan, prompt, ids, tokenizer=tokenizer, searched="its text was searched too")
    check_left_over(updates, prompt, plan, tokenizer=tokenizer)
    written = (write_by_piece if by_piece else write_as_text)(prompt, plan, tokenizer)
    return AppliedUpdates(written[0], by_item(updates, written[1]), used_fallback=True)


def _check_bound(updates: ItemUpdates) -> None:
    problems = [
        Problem(f"its update is bound to {update.modality}[{update.item_idx}]; bind it anew", f"{modality}[{item}]")
        for modality, items in updates.items()
        for item, alternatives in enumerate(items)
        for update in alternatives
        if (update.modality, update.item_idx) != (modality, item)
    ]
    if problems:
        raise PromptUpdateError(problems)
