"""Embeds that a user brings: of the model's width, of floats, in one of two structures, else every fault is told."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.errors import InputError
from triptych.schemas import check_embeds
from triptych.schemas.embeds import check_item_embeds
from triptych.schemas.values import GROUPS

FLOATS = ("float16", "bfloat16", "float32", "float64")


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 4), max_size=5),
    width=st.integers(1, 6),
    dtype=st.sampled_from(FLOATS),
    stacked=st.booleans(),
)
def test_rows_of_each_item_and_one_tensor_of_all_pass(
    lengths: list[int], width: int, dtype: str, stacked: bool
) -> None:
    of = getattr(torch, dtype)
    items = [torch.empty(n, width, dtype=of) for n in lengths]
    check_embeds(torch.empty(len(lengths), 3, width, dtype=of) if stacked else items, width=width)
    check_embeds(tuple(items), width=width)


@settings(max_examples=60, deadline=None)
@given(widths=st.lists(st.integers(1, 4), min_size=1, max_size=6), width=st.integers(1, 4))
def test_every_item_of_another_width_is_told_by_its_number(widths: list[int], width: int) -> None:
    wrong = [f"e[{n}]: expected shape (n, {width}), found (2, {w})" for n, w in enumerate(widths) if w != width]
    items = [torch.empty(2, w) for w in widths]
    if not wrong:
        return check_embeds(items, width=width, path="e")
    with pytest.raises(InputError) as found:
        check_embeds(items, width=width, path="e")
    assert str(found.value).splitlines() == [f"{line}: the rows of this model are {width} wide" for line in wrong]
    return None


@given(widths=st.lists(st.integers(1, 4), min_size=1, max_size=6), wanted=st.none() | st.integers(1, 4))
def test_the_rows_of_one_item_are_held_to_the_same_and_to_any_width_where_none_is_known(
    widths: list[int], wanted: int | None
) -> None:
    for width in widths:
        if wanted in (None, width):
            check_item_embeds(torch.empty(2, width), width=wanted, path="e[0]")
            continue
        with pytest.raises(InputError) as alone:
            check_item_embeds(torch.empty(2, width), width=wanted, path="e[0]")
        with pytest.raises(InputError) as listed:
            check_embeds([torch.empty(2, width)], width=wanted, path="e")
        assert str(alone.value) == str(listed.value)
    with pytest.raises(InputError, match=r"^e: expected shape \(n, (width|[1-4])\), found \(2\)"):
        check_item_embeds(torch.empty(2), width=wanted, path="e")


@pytest.mark.parametrize("dtype", sorted(GROUPS["int"] | GROUPS["bool"]) + ["complex64"])
def test_what_is_no_float_is_refused(dtype: str) -> None:
    with pytest.raises(InputError, match=rf"embeds\[0\]: expected dtype float, found {dtype}$"):
        check_embeds([torch.empty(2, 3, dtype=getattr(torch, dtype))], width=3)


@pytest.mark.parametrize(
    ("embeds", "message", "error"),
    [
        (
            torch.zeros(2, 3),
            r"\(items, n, 3\), found \(2, 3\): rows of one item are given in a list of one",
            InputError,
        ),
        (torch.zeros(1, 2, 4), r"\(items, n, 3\), found \(1, 2, 4\): the rows of this model are 3 wide", InputError),
        ([torch.zeros(1, 2, 3)], r"embeds\[0\]: expected shape \(n, 3\), found \(1, 2, 3\)$", InputError),
        ([torch.zeros(3)], r"embeds\[0\]: expected shape \(n, 3\), found \(3\)$", InputError),
        ([torch.zeros(())], r"embeds\[0\]: expected shape \(n, 3\), found \(\)$", InputError),
        ([[[1.0, 2.0, 3.0]]], r"embeds\[0\]: expected a tensor of shape \(n, 3\), found list$", TypeError),
        (None, r"expected a list of tensors \(n, 3\), or one tensor \(items, n, 3\), found NoneType$", TypeError),
        ("rows", r"found 'rows' \(str\)$", TypeError),
    ],
)
def test_another_structure_is_refused_with_both_shapes(embeds: Any, message: str, error: type[Exception]) -> None:
    with pytest.raises(InputError, match=message) as found:
        check_embeds(embeds, width=3)
    assert isinstance(found.value, error)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InputError) as found:
        check_embeds([torch.zeros(1, 3), torch.zeros(2, 4, dtype=torch.int8), None], width=3)
    assert [problem.path for problem in found.value.problems] == ["embeds[1]", "embeds[1]", "embeds[2]"]
    assert isinstance(found.value, TypeError)


def test_no_value_is_read() -> None:
    check_embeds([torch.empty(2, 3, device="meta")], width=3)
