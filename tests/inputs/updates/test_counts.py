"""Items, updates, placeholders and rows: as many of each as the prompt has items."""

from __future__ import annotations

import pytest
import torch

from triptych.errors import PromptUpdateError
from triptych.inputs.updates import (
    PlaceholderFeaturesInfo,
    PromptReplacement,
    apply_prompt_updates,
    bind_updates,
    check_counts,
)

COUNTS = {"image": 2, "audio": 1}
UPDATES = {"image": [[], []], "audio": [[]]}
MASK = torch.tensor([True, False, True])
PLACES = {
    "image": [PlaceholderFeaturesInfo("image", n, 4 * n, [9, 8, 9], MASK) for n in range(2)],
    "audio": [PlaceholderFeaturesInfo("audio", 0, 9, [7, 7], None)],
}


def test_what_fits_passes() -> None:
    rows = {"image": [2, 2], "audio": [2]}
    check_counts(COUNTS, processed=UPDATES, updates=UPDATES, placeholders=PLACES, expected=rows)
    check_counts({"image": 0}, processed={}, updates={"image": []}, placeholders={})
    check_counts(COUNTS)


def test_each_step_tells_modality_and_both_counts() -> None:
    hint = r"; is the placeholder text missing from the prompt, or was the chat template not applied\?"
    with pytest.raises(PromptUpdateError, match=r"^image: expected 2 processed items, found 1$"):
        check_counts(COUNTS, processed={"image": [0], "audio": [0]})
    with pytest.raises(PromptUpdateError, match=rf"^audio: expected 1 items with prompt updates, found 0{hint}$"):
        check_counts(COUNTS, updates={"image": [0, 0]})
    with pytest.raises(
        PromptUpdateError, match=r"^image: expected 2 placeholders, found 1; is the content of an update"
    ):
        check_counts(COUNTS, placeholders={**PLACES, "image": PLACES["image"][:1]})


def test_the_first_step_that_does_not_fit_is_told_with_every_modality() -> None:
    with pytest.raises(PromptUpdateError) as found:
        check_counts(COUNTS, processed={"video": [0]}, updates={}, placeholders={})
    assert [str(problem) for problem in found.value.problems] == [
        "image: expected 2 processed items, found 0",
        "audio: expected 1 processed items, found 0",
        "video: expected 0 processed items, found 1",
    ]
    with pytest.raises(PromptUpdateError, match="items with prompt updates"):
        check_counts(COUNTS, processed=UPDATES, updates={}, placeholders={})
    with pytest.raises(PromptUpdateError, match="placeholders"):
        check_counts(COUNTS, updates=UPDATES, placeholders={}, expected={"image": [2, 2]})


def test_rows_that_the_formula_does_not_give_are_told_an_item() -> None:
    with pytest.raises(PromptUpdateError) as found:
        check_counts(COUNTS, placeholders=PLACES, expected={"image": [2, 3], "audio": [1]})
    assert [str(problem) for problem in found.value.problems] == [
        "image[1]: its placeholder has 2 embeds, and the token formula gives 3; the update and the formula must agree",
        "audio[0]: its placeholder has 2 embeds, and the token formula gives 1; the update and the formula must agree",
    ]


def test_empty_content_fails_by_its_missing_placeholder() -> None:
    bound = bind_updates([PromptReplacement("image", [7], [])], {"image": 1})
    found = apply_prompt_updates([7], bound)
    check_counts({"image": 1}, updates=bound)
    with pytest.raises(PromptUpdateError, match=r"^image: expected 1 placeholders, found 0; is the content of an up"):
        check_counts({"image": 1}, updates=bound, placeholders=found.placeholders)
