"""Placeholder ranges: how many rows, which of them a part of the placeholder takes, and where they go."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from triptych.errors import InputError, InputTypeError
from triptych.inputs.placeholders import PlaceholderRange

MASKED = PlaceholderRange(2, 5, torch.tensor([False, True, False, True, True]))
MASKS = st.one_of(st.none(), st.lists(st.booleans(), max_size=8))


def placeholder(offset: int, mask: list[bool] | None) -> tuple[PlaceholderRange, list[bool]]:
    """A range and its mask as a list; without one, of three tokens."""
    tensor = None if mask is None else torch.tensor(mask, dtype=torch.bool)
    wanted = [True] * 3 if mask is None else mask
    return PlaceholderRange(offset, len(wanted), tensor), wanted


def test_tokens_three_and_four_take_the_second_and_third_row() -> None:
    assert MASKED.get_num_embeds() == 3
    assert MASKED.get_embeds_indices_in_range(3, 5) == (1, 3)
    assert MASKED.extract_embeds_range() == [(3, 3), (5, 6)]


@given(offset=st.integers(0, 9), mask=MASKS)
def test_the_spans_cover_exactly_the_positions_that_take_rows(offset: int, mask: list[bool] | None) -> None:
    found, wanted = placeholder(offset, mask)
    spans = found.extract_embeds_range()
    covered = [position for first, last in spans for position in range(first, last + 1)]
    assert covered == [offset + i for i, takes in enumerate(wanted) if takes]
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(spans))  # no two touch
    assert found.get_num_embeds() == len(covered)


@given(mask=MASKS, cuts=st.lists(st.integers(0, 8), max_size=3))
def test_the_parts_of_a_placeholder_take_all_rows_one_after_the_other(mask: list[bool] | None, cuts: list[int]) -> None:
    found, wanted = placeholder(4, mask)
    bounds = [0, *sorted(min(cut, found.length) for cut in cuts), found.length]
    row = 0
    for start, end in pairwise(bounds):
        assert found.get_embeds_indices_in_range(start, end) == (row, row + sum(wanted[start:end]))
        row += sum(wanted[start:end])
    assert row == found.get_num_embeds()


@pytest.mark.parametrize("bounds", [(-1, 2), (3, 2), (0, 6)])
def test_tokens_that_a_placeholder_does_not_have_are_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=rf"tokens {bounds[0]} to {bounds[1]} of a placeholder: it has .* 0 to 5"):
        MASKED.get_embeds_indices_in_range(*bounds)


def test_ranges_with_equal_masks_are_equal() -> None:
    again = PlaceholderRange(2, 5, torch.tensor([False, True, False, True, True]))
    other = PlaceholderRange(2, 5, torch.tensor([True, True, False, True, True]))
    assert again == MASKED
    assert hash(again) == hash(MASKED)
    assert MASKED not in (other, PlaceholderRange(2, 5), PlaceholderRange(1, 5, MASKED.is_embed), (2, 5))
    assert PlaceholderRange(2, 5) == PlaceholderRange(2, 5)


def test_a_mask_of_another_length_type_or_shape_is_refused() -> None:
    masks = [(torch.ones(4, dtype=torch.bool), r"not bool \[4\]"), (torch.ones(5), r"not float32 \[5\]")]
    masks.append((torch.ones(1, 5, dtype=torch.bool), r"not bool \[1, 5\]"))
    for mask, said in masks:
        with pytest.raises(InputError, match=rf"^is_embed: a bool tensor \[5\] is wanted, {said}$"):
            PlaceholderRange(0, 5, mask)
    with pytest.raises(InputTypeError, match=r"^is_embed: a bool tensor \[5\] is wanted, not a list$"):
        PlaceholderRange(0, 5, [True] * 5)  # type: ignore[arg-type]


def test_everything_wrong_with_a_range_is_told_at_once() -> None:
    with pytest.raises(InputError) as found:
        PlaceholderRange(-1, -2, torch.ones(3, dtype=torch.bool))
    assert [problem.path for problem in found.value.problems] == ["offset", "length", "is_embed"]
