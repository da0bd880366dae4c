"""The prompt after its updates, where each item stands in it, and what does not fit."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inputs.updates import plain
from triptych.errors import PromptUpdateError
from triptych.inputs.tokenizer import ByteTokenizer
from triptych.inputs.updates import (
    PromptIndexTargets,
    PromptInsertion,
    PromptReplacement,
    PromptUpdateDetails,
    apply_prompt_updates,
    bind_updates,
)

ONE_EACH = PromptReplacement("image", [7], lambda item: [90 + item] * (item + 2))


def test_placeholders_say_where_each_item_stands() -> None:
    found = apply_prompt_updates([7, 1, 7], bind_updates([ONE_EACH], {"image": 2}))
    assert found.token_ids == [90, 90, 1, 91, 91, 91]
    assert [(p.item_idx, p.start_idx, p.tokens) for p in found.placeholders["image"]] == [
        (0, 0, [90, 90]),
        (1, 3, [91, 91, 91]),
    ]
    assert [p.to_range().extract_embeds_range() for p in found.placeholders["image"]] == [[(0, 1)], [(3, 5)]]
    assert not found.used_fallback


def test_a_mask_says_which_tokens_of_the_content_take_rows() -> None:
    update = PromptReplacement("image", [7], PromptUpdateDetails.select_token_id([8, 9, 9, 8], 9))
    found = apply_prompt_updates([1, 7], bind_updates([update], {"image": 1}))
    assert [p.to_range().extract_embeds_range() for p in found.placeholders["image"]] == [[(2, 3)]]


def test_placeholders_come_in_item_order_where_their_targets_stand_in_another() -> None:
    own = PromptReplacement("image", lambda item: [7, item], lambda item: [90 + item] * (item + 1))
    found = apply_prompt_updates([7, 2, 7, 0, 7, 1], bind_updates([own], {"image": 3}))
    assert found.token_ids == [92, 92, 92, 90, 91, 91]
    assert [(p.item_idx, p.start_idx, p.length) for p in found.placeholders["image"]] == [
        (0, 3, 1),
        (1, 4, 2),
        (2, 0, 3),
    ]


def test_adjacent_placeholders_of_two_modalities_first_and_last_in_the_prompt() -> None:
    audio = PromptReplacement("audio", [6], [80])
    found = apply_prompt_updates([7, 6], bind_updates([ONE_EACH, audio], {"image": 1, "audio": 1}))
    assert found.token_ids == [90, 90, 80]
    assert [p.to_range().offset for places in found.placeholders.values() for p in places] == [0, 2]


def test_without_items_the_prompt_is_as_it_was() -> None:
    found = apply_prompt_updates([1, 2], bind_updates([ONE_EACH], {}))
    assert (found.token_ids, found.placeholders, found.used_fallback) == ([1, 2], {"image": []}, False)
    assert apply_prompt_updates([], {}).token_ids == []


def test_empty_content_leaves_no_placeholder() -> None:
    update = PromptReplacement("image", [7], lambda item: [9] * item)
    found = apply_prompt_updates([7, 1, 7], bind_updates([update], {"image": 2}))
    assert found.token_ids == [1, 9]
    assert [(p.item_idx, p.start_idx) for p in found.placeholders["image"]] == [(1, 1)]


def test_an_empty_target_matches_nothing() -> None:
    empty = bind_updates([PromptReplacement("image", [], [9])], {"image": 1})
    for tokenizer in (None, ByteTokenizer(256)):
        with pytest.raises(PromptUpdateError, match=r"^image\[0\]: nothing matches its target \[\]\n"):
            apply_prompt_updates([1], empty, tokenizer=tokenizer)
    either = [PromptReplacement("image", [], [9]), PromptInsertion("image", PromptIndexTargets.end(), [8])]
    assert apply_prompt_updates([1], bind_updates(either, {"image": 1})).token_ids == [1, 8]


def test_an_item_without_a_place_is_told_with_targets_texts_and_the_prompt() -> None:
    tokenizer = ByteTokenizer(256)
    updates = [PromptReplacement("image", "<i>", [0]), PromptReplacement("image", "<j>", [0])]
    bound = bind_updates(updates, {"image": 2}, tokenizer=tokenizer)
    with pytest.raises(PromptUpdateError) as found:
        apply_prompt_updates(tokenizer.encode("a picture"), bound, tokenizer=tokenizer)
    first, second, prompt = map(str, found.value.problems)
    assert first == "image[0]: nothing matches its target [60, 105, 62] ('<i>') or [60, 106, 62] ('<j>')"
    assert second.startswith("image[1]: ")
    assert prompt == (
        "the prompt has 9 tokens: [97, 32, 112, 105, 99, 116, 117, 114, 101] ('a picture'); its text was searched too; "
        "is the placeholder text missing from the prompt, or was the chat template not applied?"
    )


def test_a_long_prompt_is_told_by_how_it_begins() -> None:
    with pytest.raises(PromptUpdateError, match=r"has 99 tokens and begins with \[3(, 3){19}\]; its text is not sear"):
        apply_prompt_updates([3] * 99, bind_updates([ONE_EACH], {"image": 1}))


def test_an_item_without_updates_has_no_place() -> None:
    with pytest.raises(PromptUpdateError, match=r"^image\[0\]: it has no update, so nothing says where it belongs\n"):
        apply_prompt_updates([1], {"image": [[]]})


def test_targets_left_over_are_an_error_with_both_counts() -> None:
    bound = bind_updates([ONE_EACH], {"image": 1})
    with pytest.raises(PromptUpdateError) as found:
        apply_prompt_updates([7, 7, 1, 7], bound, tokenizer=ByteTokenizer(256))
    assert str(found.value) == (
        "image: its target [7] ('\\x07') is left 2 more times in the prompt than the 1 given item takes; "
        "give an item for each, take the rest out of the prompt, or let the update say allow_extra"
    )


def test_targets_may_be_left_over_where_the_update_says_so() -> None:
    update = PromptReplacement("image", [7], [9], allow_extra=True)
    assert apply_prompt_updates([7, 7], bind_updates([update], {"image": 1})).token_ids == [9, 7]
    assert apply_prompt_updates([7, 7], bind_updates([PromptInsertion("image", [7], [9])], {"image": 1})).token_ids == [
        7,
        9,
        7,
    ]


def test_a_target_of_one_item_that_stands_twice_is_left_over() -> None:
    own = PromptReplacement("image", lambda item: [7, item], [9])
    with pytest.raises(
        PromptUpdateError, match=r"^image: its target \[7, 0\] is left 1 more time in the prompt than the 2"
    ):
        apply_prompt_updates([7, 0, 7, 1, 7, 0], bind_updates([own], {"image": 2}))


def test_a_target_is_left_over_only_where_it_stands_whole() -> None:
    both = [PromptReplacement("audio", [1, 1], [80]), PromptInsertion("image", [3, 1], [90])]
    bound = bind_updates(both, {"audio": 1, "image": 1})
    assert apply_prompt_updates([1, 1, 3, 1, 1], bound).token_ids == [80, 3, 1, 90, 1]
    with pytest.raises(PromptUpdateError, match=r"^audio: its target \[1, 1\] is left 1 more time in"):
        apply_prompt_updates([1, 1, 3, 1, 1, 1], bound)


def test_every_target_that_is_left_over_is_told_at_once() -> None:
    both = [ONE_EACH, PromptReplacement("audio", [6], [80])]
    with pytest.raises(PromptUpdateError) as found:
        apply_prompt_updates([7, 7, 6, 6], bind_updates(both, {"image": 1, "audio": 1}))
    assert {problem.path for problem in found.value.problems} == {"image", "audio"}


def test_an_update_that_is_bound_to_another_item_is_refused() -> None:
    bound = bind_updates([ONE_EACH], {"image": 2})["image"]
    with pytest.raises(
        PromptUpdateError, match=r"^image\[0\]: its update is bound to image\[1\]; bind it anew\nimage\[1\]"
    ):
        apply_prompt_updates([7, 7], {"image": bound[::-1]})


@settings(max_examples=300)
@given(prompt=plain.PROMPTS, updates=plain.updates())
def test_prompts_are_those_of_the_plain_words(prompt: list[int], updates: plain.ItemUpdates) -> None:
    items = plain.flat(updates)
    wanted = plain.plan(prompt, items)
    left = plain.left_over(prompt, items, wanted)
    if len(wanted) < len(items) or left:
        with pytest.raises(PromptUpdateError) as found:
            apply_prompt_updates(prompt, updates)
        unplaced = len(items) - len(wanted)
        assert len(found.value.problems) == (unplaced + 1 if unplaced else len(left))
    else:
        assert apply_prompt_updates(prompt, updates).token_ids == plain.written(prompt, wanted)


@st.composite
def fitting(draw: st.DrawFn) -> tuple[list[int], plain.ItemUpdates]:
    """A prompt that has the target of each item once, in any order, between tokens that are in no target."""
    own = st.lists(plain.ALPHABET, min_size=2, max_size=2).map(tuple)
    targets = {modality: draw(st.lists(own, max_size=4)) for modality in ("image", "audio")}
    prompt = draw(st.lists(st.integers(5, 6), min_size=1, max_size=3))
    for target in draw(st.permutations([*targets["image"], *targets["audio"]])):
        prompt += [*target, *draw(st.lists(st.integers(5, 6), min_size=1, max_size=3))]
    contents = st.lists(st.integers(1, 6), min_size=1, max_size=3)
    rules = [
        PromptReplacement(modality, lambda item, own=own: own[item], draw(contents))
        for modality, own in targets.items()
    ]
    return prompt, bind_updates(rules, {modality: len(own) for modality, own in targets.items()})


@given(fitting())
def test_targets_put_back_for_the_placeholders_give_the_prompt(given: tuple[list[int], plain.ItemUpdates]) -> None:
    prompt, updates = given
    found = apply_prompt_updates(prompt, updates)
    for modality, items in updates.items():
        assert [place.item_idx for place in found.placeholders[modality]] == list(range(len(items)))
    placed = sorted((p for places in found.placeholders.values() for p in places), key=lambda p: p.start_idx)
    assert all(one.start_idx + one.length <= other.start_idx for one, other in pairwise(placed))
    back = found.token_ids
    for one in reversed(placed):
        update = updates[one.modality][one.item_idx][0]
        assert isinstance(update.target, tuple)
        assert back[one.start_idx : one.start_idx + one.length] == one.tokens == update.content.full
        back = [*back[: one.start_idx], *update.target, *back[one.start_idx + one.length :]]
    assert back == prompt


@given(fitting())
def test_items_with_equal_targets_stand_in_their_order(given: tuple[list[int], plain.ItemUpdates]) -> None:
    prompt, updates = given
    starts: dict[object, list[int]] = {}
    for places in apply_prompt_updates(prompt, updates).placeholders.values():
        for one in places:
            starts.setdefault(updates[one.modality][one.item_idx][0].target, []).append(one.start_idx)
    assert all(each == sorted(each) for each in starts.values())
