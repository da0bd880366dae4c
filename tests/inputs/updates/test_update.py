"""Updates as data: bound to an item, with contents and targets in each of their forms."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from triptych.errors import PromptUpdateError, PromptUpdateTypeError, TriptychError
from triptych.inputs.placeholders import PlaceholderRange
from triptych.inputs.tokenizer import ByteTokenizer
from triptych.inputs.updates import (
    PlaceholderFeaturesInfo,
    PromptIndexTargets,
    PromptInsertion,
    PromptReplacement,
    PromptUpdate,
    PromptUpdateDetails,
    apply_prompt_updates,
    bind_updates,
)


def test_functions_of_the_index_are_called_once_an_item() -> None:
    asked: list[tuple[str, int]] = []

    def target(item: int) -> list[int]:
        asked.append(("target", item))
        return [item]

    def content(item: int) -> list[int]:
        asked.append(("content", item))
        return [9] * (item + 1)

    bound = bind_updates([PromptReplacement("image", target, content)], {"image": 2})
    assert apply_prompt_updates([0, 5, 1], bound).token_ids == [9, 5, 9, 9]
    assert sorted(asked) == [("content", 0), ("content", 1), ("target", 0), ("target", 1)]


def test_a_function_of_the_index_may_give_a_position_or_details() -> None:
    def target(item: int) -> object:
        return PromptIndexTargets.start() if item else [2]

    details = PromptUpdateDetails.select_token_id([8, 9], 9)
    update = PromptInsertion("image", target, lambda _: details)  # type: ignore[arg-type, return-value]
    found = apply_prompt_updates([1, 2], bind_updates([update], {"image": 2}))
    assert found.token_ids == [8, 9, 1, 2, 8, 9]
    assert [each.start_idx for each in found.placeholders["image"]] == [4, 0]


def test_updates_of_one_modality_are_alternatives_of_each_of_its_items() -> None:
    made = [PromptInsertion("b", [1], [2]), PromptInsertion("a", [1], [2]), PromptReplacement("b", [3], [4])]
    bound = bind_updates(made, {"a": 1, "b": 2, "c": 3})
    assert list(bound) == ["b", "a"]
    assert [[(u.item_idx, u.target) for u in item] for item in bound["b"]] == [[(n, (1,)), (n, (3,))] for n in (0, 1)]
    assert bind_updates(made, {}) == {"b": [], "a": []}


def test_a_target_that_is_a_text_stands_for_its_tokens() -> None:
    tokenizer = ByteTokenizer(256)
    bound = bind_updates([PromptReplacement("image", "<i>", [0])], {"image": 1}, tokenizer=tokenizer)
    assert apply_prompt_updates(tokenizer.encode("a<i>b"), bound).token_ids == [97, 0, 98]
    with pytest.raises(PromptUpdateError, match=r"^image\[0\]\.target: '<i>' is a text; give a tokenizer, or its tok"):
        PromptReplacement("image", "<i>", [0]).resolve(0)


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (PromptReplacement("image", None, [1]), r"^image\[2\]\.target: a list of token ids is wanted, not None$"),  # type: ignore[arg-type]
        (PromptReplacement("image", [1, "a"], [1]), r"^image\[2\]\.target: .*, not \[1, 'a'\]$"),  # type: ignore[list-item]
        (PromptInsertion("image", [1], lambda _: None), r"^image\[2\]\.content: .*, not None$"),  # type: ignore[arg-type, return-value]
        (PromptInsertion("image", [1], "text"), r"^image\[2\]\.content: .*, not 'text'$"),  # type: ignore[arg-type]
        (PromptInsertion("image", [1], [1.0]), r"^image\[2\]\.content: .*, not \[1\.0\]$"),  # type: ignore[list-item]
    ],
)
def test_what_is_no_target_or_content_is_a_type_error_with_its_place(update: PromptUpdate, message: str) -> None:
    with pytest.raises(PromptUpdateTypeError, match=message) as found:
        update.resolve(2)
    assert isinstance(found.value, TypeError | RuntimeError)
    assert isinstance(found.value, TriptychError)


@given(
    full=st.lists(st.integers(0, 4), max_size=8), tokens=st.lists(st.integers(0, 4), max_size=3), one=st.integers(0, 4)
)
def test_details_select_the_tokens_that_take_rows(full: list[int], tokens: list[int], one: int) -> None:
    def mask(details: PromptUpdateDetails) -> list[bool] | None:
        assert details.full == full
        return None if details.is_embed is None else details.is_embed(full).tolist()

    assert mask(PromptUpdateDetails.from_seq(tuple(full))) is None
    assert mask(PromptUpdateDetails.select_token_id(full, one)) == [token == one for token in full]
    assert mask(PromptUpdateDetails.select_token_ids(full, tokens)) == [token in tokens for token in full]


def test_bound_updates_are_data_that_a_cache_may_keep_for_another_index() -> None:
    update = PromptReplacement("image", [1], PromptUpdateDetails.select_token_ids([1, 2], [2])).resolve(0)
    again = pickle.loads(pickle.dumps(update))
    assert again == update
    assert replace(again, item_idx=3).item_idx == 3


@pytest.mark.parametrize("give", [lambda _: torch.ones(1, dtype=torch.bool), lambda full: torch.ones(len(full))])
def test_a_mask_that_does_not_fit_its_content_is_refused(give: Callable[[Sequence[int]], Tensor]) -> None:
    bound = bind_updates([PromptReplacement("image", [1], PromptUpdateDetails([5, 5], give))], {"image": 1})
    with pytest.raises(PromptUpdateError, match=r"^image\[0\]\.content\.is_embed: a bool tensor \[2\] is wanted, not "):
        apply_prompt_updates([1], bound)


def test_a_placeholder_becomes_a_range_with_its_mask() -> None:
    mask = torch.tensor([True, False])
    placed = PlaceholderFeaturesInfo("image", 0, 3, [5, 6], mask)
    assert placed.to_range() == PlaceholderRange(3, 2, mask)
    assert placed == PlaceholderFeaturesInfo("image", 0, 3, [5, 6], mask.clone())
    assert hash(placed) == hash(PlaceholderFeaturesInfo("image", 0, 3, [5, 6], mask.clone()))
    others = (PlaceholderFeaturesInfo("image", 0, 3, [5, 6], ~mask), PlaceholderFeaturesInfo("image", 0, 3, [5], None))
    assert placed not in (*others, placed.to_range())
