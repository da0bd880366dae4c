"""Which update is applied where."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given, settings

from tests.inputs.updates import plain
from triptych.errors import PromptUpdateError
from triptych.inputs.updates import (
    PromptIndexTargets,
    PromptInsertion,
    PromptReplacement,
    PromptUpdate,
    apply_prompt_updates,
    bind_updates,
)
from triptych.inputs.updates.planning import plan_updates
from triptych.inputs.updates.searching import TextPrompt, TokenPrompt

START, END, PREFIX = PromptIndexTargets.start(), PromptIndexTargets.end(), PromptIndexTargets.prefix


def applied(prompt: list[int], *updates: PromptUpdate, **counts: int) -> list[int]:
    """The prompt with the updates applied for so many items; of contents, item 0 has [90], item 1 has [91], ..."""
    return apply_prompt_updates(prompt, bind_updates(updates, counts)).token_ids


def numbers(first: int) -> Callable[[int], list[int]]:
    """The content of each item: one number, from `first` on."""
    return lambda item: [first + item]


def insert(target: object, first: int = 90, modality: str = "image", **more: bool) -> PromptInsertion:
    return PromptInsertion(modality, target, numbers(first), **more)  # type: ignore[arg-type]


def swap(target: object, first: int = 90, modality: str = "image", **more: bool) -> PromptReplacement:
    return PromptReplacement(modality, target, numbers(first), **more)  # type: ignore[arg-type]


def test_an_insertion_goes_behind_its_target_and_a_replacement_in_its_place() -> None:
    assert applied([1, 2, 3, 4], insert([2, 3]), image=1) == [1, 2, 3, 90, 4]
    assert applied([1, 2, 3, 4], swap([2, 3]), image=1) == [1, 90, 4]


@pytest.mark.parametrize("update", [insert, swap])
def test_start_and_end_are_in_an_empty_prompt_too(update: Callable[[object], PromptUpdate]) -> None:
    for target in (START, END, PREFIX([])):
        assert applied([], update(target), image=2) == [90, 91]
    assert applied([1, 2], update(START), image=2) == [90, 91, 1, 2]
    assert applied([1, 2], update(END), image=2) == [1, 2, 90, 91]


@pytest.mark.parametrize("update", [insert, swap])
def test_a_prefix_is_a_spot_behind_the_tokens_that_the_prompt_begins_with(
    update: Callable[[object], PromptUpdate],
) -> None:
    assert applied([1, 2, 1, 2], update(PREFIX([1, 2])), image=2) == [1, 2, 90, 91, 1, 2]
    with pytest.raises(PromptUpdateError, match=r"image\[0\]: nothing matches its target prefix\[1, 2\]"):
        applied([3, 1, 2], update(PREFIX([1, 2])), image=1)


def test_a_prefix_is_none_once_something_behind_the_start_has_changed() -> None:
    assert applied([1, 2], insert(START, 80, "audio"), insert(PREFIX([1]), 90), audio=1, image=1) == [80, 1, 90, 2]
    with pytest.raises(PromptUpdateError, match=r"image\[0\]: its target prefix\[1, 2\] stands only before places"):
        applied([1, 2, 3], swap([1], 80, "audio"), insert(PREFIX([1, 2])), audio=1, image=1)


def test_one_target_of_an_insertion_serves_all_items_one_after_the_other() -> None:
    assert applied([1, 2, 1], insert([1]), image=3) == [1, 90, 91, 92, 2, 1]


def test_each_item_replaces_a_target_of_its_own() -> None:
    assert applied([1, 1, 2, 1], swap([1]), image=3) == [90, 91, 2, 92]


def test_targets_that_overlap_are_used_once() -> None:
    assert applied([1, 1, 1, 1], swap([1, 1]), image=2) == [90, 91]
    with pytest.raises(
        PromptUpdateError, match=r"image\[1\]: its target \[1, 1\] stands 1 time in the prompt, each for another item"
    ):
        applied([1, 1, 1], swap([1, 1]), image=2)


def test_a_target_that_two_modalities_share_goes_to_the_earlier_one_first() -> None:
    assert applied([1, 1, 1], swap([1]), swap([1], 80, "audio"), audio=1, image=2) == [90, 91, 80]
    assert applied([1, 1, 1], swap([1], 80, "audio"), swap([1]), audio=1, image=2) == [80, 90, 91]
    assert applied([1], insert([1]), insert([1], 80, "audio"), audio=1, image=2) == [1, 90, 91, 80]


def test_alternatives_are_tried_in_the_order_given() -> None:
    either = (swap([1], 90, allow_extra=True), swap([2], 80, allow_extra=True))
    assert applied([2, 1, 2], *either, image=1) == [2, 90, 2]
    assert applied([2, 2], *either, image=1) == [80, 2]
    assert applied([2, 1, 2, 1, 2, 2], *either, image=3) == [2, 90, 2, 91, 82, 2]


def test_an_insertion_at_the_end_that_is_declared_first_blocks_a_replacement() -> None:
    with pytest.raises(PromptUpdateError, match=r"image\[0\]: its target \[1\] stands only .*; declare it earlier\n"):
        applied([1, 2], insert(END, 80, "audio"), swap([1]), audio=1, image=1)
    assert applied([1, 2], swap([1]), insert(END, 80, "audio"), audio=1, image=1) == [90, 2, 80]


def test_fewer_targets_than_items_are_counted() -> None:
    message = r"image\[2\]: its target \[1\] stands 2 times in the prompt, each for another item; write one for each"
    with pytest.raises(PromptUpdateError, match=message):
        applied([1, 2, 1], swap([1]), image=3)
    with pytest.raises(PromptUpdateError, match=r"audio\[0\]: its target \[1\] stands 1 time in the prompt, each for"):
        applied([1, 2], swap([1]), swap([1], 80, "audio"), image=1, audio=1)


def test_a_spot_that_comes_too_late_is_told_once() -> None:
    late = (swap([2]), insert(START, 80, "audio"))
    with pytest.raises(PromptUpdateError, match=r"audio\[0\]: its target start stands only before places"):
        applied([1, 2], *late, image=1, audio=1)


def test_all_insertions_of_a_round_are_applied_before_the_next_replacement() -> None:
    several = (insert([3], 70, "audio"), insert([1], 80, "video"), swap([2]))
    assert applied([1, 3, 2], *several, audio=1, video=1, image=1) == [1, 80, 3, 70, 90]
    with pytest.raises(PromptUpdateError, match=r"image\[0\]: its target \[2\] stands only before"):
        applied([1, 2, 3], *several, audio=1, video=1, image=1)


def test_insertions_behind_targets_that_overlap_both_stand_where_they_belong() -> None:
    both = (insert([1, 2, 3], 90), insert([2], 80, "audio"))
    assert applied([1, 2, 3, 4], *both, image=1, audio=1) == [1, 2, 80, 3, 90, 4]


def test_of_replacements_the_leftmost_goes_first_and_of_those_the_one_declared_first() -> None:
    long_and_short = (swap([1, 2], 90), swap([1], 80, "audio"))
    assert applied([1, 2, 1], *long_and_short, image=1, audio=1) == [90, 80]
    assert applied([1, 1, 2], *long_and_short, image=1, audio=1) == [80, 90]
    assert applied([1, 1, 2], *reversed(long_and_short), image=1, audio=1) == [80, 90]


def test_the_item_declared_earliest_of_those_that_wait_says_whether_a_round_inserts() -> None:
    kinds = (swap([1]), insert([2]), swap([1], allow_extra=True))
    with pytest.raises(PromptUpdateError, match=r"^image\[2\]: its target \[1\] stands only before"):
        apply_prompt_updates([1, 1, 2], {"image": [[update.resolve(item)] for item, update in enumerate(kinds)]})
    kinds = (swap([1]), swap([1]), insert([2]))
    bound = {"image": [[update.resolve(item)] for item, update in enumerate(kinds)]}
    assert apply_prompt_updates([1, 1, 2], bound).token_ids == [90, 91, 2, 92]


def test_a_spot_within_what_is_replaced_is_gone() -> None:
    both = (swap([1, 2, 3]), swap(PREFIX([1, 2]), 80, "audio"))
    with pytest.raises(PromptUpdateError, match=r"^audio\[0\]: its target prefix\[1, 2\] stands only before"):
        applied([1, 2, 3], *both, image=1, audio=1)
    assert applied([1, 2, 3], swap([3]), both[1], image=1, audio=1) == [1, 2, 80, 90]


def test_content_is_not_searched_again() -> None:
    itself = PromptReplacement("image", [1], [1, 1])
    assert applied([1, 2, 1], itself, image=2) == [1, 1, 2, 1, 1]
    with pytest.raises(
        PromptUpdateError, match=r"image\[1\]: its target \[1\] stands 1 time in the prompt, each for another item"
    ):
        applied([1, 2], itself, image=2)
    brings = (PromptReplacement("image", [1], [2]), swap([2], 80, "audio"))
    with pytest.raises(PromptUpdateError, match=r"audio\[0\]: nothing matches its target \[2\]"):
        applied([1], *brings, image=1, audio=1)


@settings(max_examples=300)
@given(prompt=plain.PROMPTS, updates=plain.updates())
def test_places_are_those_of_the_plain_words(prompt: list[int], updates: plain.ItemUpdates) -> None:
    items = plain.flat(updates)
    found = plan_updates(TokenPrompt(prompt, [u.target for alternatives in items for u in alternatives]), updates)
    wanted = plain.plan(prompt, items)
    assert [(a.start, a.end) for a in found.applied] == sorted((start, end) for start, end, _ in wanted.values())
    assert {id(a.update): (a.start, a.end) for a in found.applied} == {id(u): (s, e) for s, e, u in wanted.values()}
    assert [item.order for item in found.unplaced] == [n for n in range(len(items)) if n not in wanted]
    assert all(updates[item.modality][item.item_idx] is item.updates for item in found.unplaced)


@given(prompt=plain.PROMPTS, updates=plain.updates())
def test_places_in_a_text_are_those_in_its_tokens(prompt: list[int], updates: plain.ItemUpdates) -> None:
    def text(tokens: list[int] | tuple[int, ...]) -> str:
        return "".join(map(str, tokens))

    targets = [update.target for alternatives in plain.flat(updates) for update in alternatives]
    tokens = [target if isinstance(target, tuple) else target.tokens for target in targets]
    by_text = plan_updates(TextPrompt(text(prompt), {each: text(each) for each in tokens}), updates)
    assert by_text == plan_updates(TokenPrompt(prompt, targets), updates)


@pytest.mark.parametrize("shared", [True, False])
def test_a_further_token_costs_a_few_steps_however_many_items_there_are(shared: bool) -> None:
    items = 200

    def steps(length: int) -> int:
        gap = [5] * (length // items - 2)
        prompt = [token for item in range(items) for token in (7, 0 if shared else item, *gap)]
        update = PromptReplacement("image", lambda item: [7, 0 if shared else item], [9])
        bound = bind_updates([update], {"image": items})
        return lines_run(lambda: apply_prompt_updates(prompt, bound))

    short, long = steps(4_000), steps(16_000)
    assert long - short < 6 * 12_000
    assert short < 6 * 4_000 + (200 * items if shared else 6 * items**2)  # items of different targets are compared


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of Python the call runs."""
    count, before = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, arg: object) -> Callable[..., object]:
        nonlocal count
        del frame, arg
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
