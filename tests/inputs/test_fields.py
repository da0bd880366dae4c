"""Fields: how data are cut into items, how items are joined, and what is said of what cannot be."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from triptych.errors import InputError, InputTypeError
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.kinds import (
    MultiModalBatchedField,
    MultiModalFieldElem,
    MultiModalFlatField,
    MultiModalSharedField,
    join_elems,
)
from triptych.inputs.nested import NestedTensors, as_tensors, same_tensors

config = MultiModalFieldConfig
BATCHED, FLAT, SHARED = MultiModalBatchedField(), MultiModalFlatField(), MultiModalSharedField()


def cut(field: config, value: object) -> list[Any]:
    elems = field.build_elems("x", value)
    assert elems is not None
    return [elem.data for elem in elems]


def joined(field: Any, *parts: NestedTensors) -> Any:
    return join_elems([MultiModalFieldElem(part, field) for part in parts])


def same(found: NestedTensors, wanted: object) -> bool:
    return same_tensors(found, as_tensors(wanted, ""))


def numbered(*shape: int) -> Tensor:
    return torch.arange(torch.Size(shape).numel()).view(shape)


# cutting


def test_a_batched_item_is_an_index_of_dim_0_without_that_dim() -> None:
    data = numbered(3, 2, 4)
    items = cut(config.batched("image"), data)
    assert [item.shape for item in items] == [(2, 4)] * 3
    assert all(torch.equal(item, data[place]) for place, item in enumerate(items))


def test_a_batched_list_has_a_value_for_each_item_of_whatever_shape() -> None:
    items = cut(config.batched("image"), [numbered(3, 2, 2), numbered(3, 5, 1)])
    assert [item.shape for item in items] == [(3, 2, 2), (3, 5, 1)]


def test_a_flat_item_is_its_slice_along_the_dim() -> None:
    data = numbered(2, 7)
    items = cut(config.flat("image", [slice(0, 3), slice(3, None), slice(-2, None), slice(1, 6, 2)], dim=1), data)
    wanted = [data[:, :3], data[:, 3:], data[:, -2:], data[:, 1:6:2]]
    assert all(torch.equal(item, part) for item, part in zip(items, wanted, strict=True))


def test_a_flat_item_may_be_cut_in_every_dim_from_the_first() -> None:
    data = numbered(4, 7)
    field = config.flat("image", [(slice(None), slice(0, 3)), (slice(1, 3), slice(3, 7))], dim=1)
    assert all(map(torch.equal, cut(field, data), [data[:, :3], data[1:3, 3:]]))


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
def test_flat_items_from_sizes_stand_one_after_the_other(dim: int) -> None:
    data = numbered(6, 6, 6)
    items = cut(config.flat_from_sizes("image", torch.tensor([1, 0, 5]), dim=dim), data)
    assert all(map(torch.equal, items, data.split([1, 0, 5], dim)))


def test_bounds_of_slices_may_stand_in_tensors_and_arrays() -> None:
    field = config.flat("image", [slice(torch.tensor(0), np.int64(2)), slice(torch.tensor(2), None)])
    assert same(cut(field, numbered(3)), [numbered(2), torch.tensor([2])])


def test_a_flat_list_is_cut_into_lists() -> None:
    rows = [numbered(2), numbered(3), numbered(4)]
    assert same(cut(config.flat_from_sizes("image", torch.tensor([2, 1])), rows), [rows[:2], rows[2:]])


def test_a_shared_value_is_the_same_object_for_each_item() -> None:
    value = numbered(3)
    items = cut(config.shared("image", 2), value)
    assert len(items) == 2
    assert all(item is value for item in items)


@pytest.mark.parametrize(
    "field",
    [
        config.batched("image"),
        config.flat("image", [slice(0, 2), slice(2, 4)]),
        config.flat("image", [slice(0, 2), slice(2, 4)], dim=-1),
        config.flat_from_sizes("image", torch.tensor([1, 3]), dim=1),
        config.shared("image", 2),
    ],
)
@pytest.mark.parametrize("made", [lambda data: data, lambda data: data.numpy()], ids=["tensor", "array"])
def test_data_of_an_item_are_a_view(field: config, made: Any) -> None:
    data = numbered(4, 4)
    items = cut(field, made(data))
    data.zero_()
    assert all(not item.any() for item in items)


# what is none


@pytest.mark.parametrize("empty", [None, [], (), torch.empty(0), torch.empty(0, 4), np.empty((0, 3))])
@pytest.mark.parametrize(
    "field",
    [
        config.batched("image"),
        config.flat("image", [slice(0, 2)]),
        config.flat("image", [slice(None)]),
        config.flat("image", []),
        config.flat_from_sizes("image", torch.tensor([2])),
        config.flat_from_sizes("image", torch.empty(0)),
        config.shared("image", 2),
    ],
)
def test_a_value_that_is_none_or_empty_is_skipped(field: config, empty: object) -> None:
    assert field.build_elems("x", empty) is None


def test_an_empty_value_of_which_items_want_nothing_gives_each_of_them_nothing() -> None:
    sizes = torch.tensor([0, 0])
    assert [item.shape for item in cut(config.flat_from_sizes("image", sizes), torch.empty(0, 4))] == [(0, 4)] * 2
    assert [item.shape for item in cut(config.flat_from_sizes("image", sizes, dim=1), torch.empty(3, 0))] == [
        (3, 0)
    ] * 2
    assert cut(config.flat_from_sizes("image", sizes), []) == [[], []]
    runs = config.flat("image", [(slice(0, 2), slice(0, 0))], dim=1)
    assert [item.shape for item in cut(runs, torch.empty(3, 0))] == [(2, 0)]


def test_items_that_have_no_rows_are_no_empty_value() -> None:
    assert [item.shape for item in cut(config.batched("image"), torch.empty(2, 0, 4))] == [(0, 4)] * 2
    assert [item.shape for item in cut(config.flat("image", [slice(0, 1)], dim=1), torch.empty(0, 1))] == [(0, 1)]


def test_a_tensor_without_the_dim_of_its_items_is_empty_when_it_has_no_element() -> None:
    assert config.flat("image", [slice(0, 1)], dim=1).build_elems("x", torch.empty(0)) is None


def test_a_number_is_no_empty_value() -> None:
    assert same(cut(config.shared("image", 1), 0), [torch.tensor(0)])


# from other types


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (2, torch.tensor(2)),
        (True, torch.tensor(True)),
        (0.5, torch.tensor(0.5)),
        (np.float64(0.5), torch.tensor(0.5, dtype=torch.float64)),
        (np.bool_(True), torch.tensor(True)),
        ([1, 2], torch.tensor([1, 2])),
        ((0.5, 2), torch.tensor([0.5, 2])),
        ([np.int64(1), np.int64(2)], torch.tensor([1, 2])),
        (np.arange(3, dtype=np.int16), torch.arange(3, dtype=torch.int16)),
        (np.arange(3)[::-1], torch.tensor([2, 1, 0])),
        (np.array([np.arange(2), np.arange(3)], dtype=object), [torch.arange(2), torch.arange(3)]),
        ([[1, 2], [3]], [torch.tensor([1, 2]), torch.tensor([3])]),
        ([], []),
    ],
)
def test_numbers_arrays_and_lists_of_numbers_become_tensors(value: object, wanted: NestedTensors) -> None:
    assert same_tensors(as_tensors(value, "x"), wanted)


def test_an_array_that_must_not_be_written_is_copied() -> None:
    array = np.zeros(3)
    array.flags.writeable = False
    as_tensors(array, "x")  # a view would warn
    found = as_tensors(array, "x")
    assert isinstance(found, Tensor)
    found += 1
    assert not array.any()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("cat", r"^x: is str; a tensor, an array, a number or a list of those is wanted$"),
        ([torch.zeros(1), [{}]], r"^x\[1\]\[0\]: is dict; "),
        (np.array(["cat"]), r"^x: is an array of <U3, which is no dtype of tensors$"),
        (np.arange(3, dtype=">i4"), r"^x: is an array of >i4, which is no dtype of tensors$"),
        ([1, None], r"^x\[1\]: is NoneType; "),
    ],
)
def test_what_holds_no_numbers_is_a_type_error_that_says_where(value: object, message: str) -> None:
    with pytest.raises(InputTypeError, match=message):
        config.batched("image").build_elems("x", value)


def test_a_number_that_no_tensor_can_hold_is_refused() -> None:
    with pytest.raises(InputError, match=r"^x: cannot become a tensor: "):
        as_tensors([1, 2**70], "x")


# what cannot be cut


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (config.batched("image"), 3, "x: is a single number; one value for each item is wanted"),
        (
            config.flat("image", [slice(0, 3), slice(3, 9), slice(-8, None), slice(8, None)]),
            numbered(7),
            "x: item 1 is 3:9 of dim 0, which has 7\nx: item 2 is -8: of dim 0, which has 7\n"
            "x: item 3 is 8: of dim 0, which has 7",
        ),
        (
            config.flat("image", [(slice(0, 5), slice(0, 1))], dim=1),
            numbered(4, 4),
            "x: item 0 is 0:5 of dim 0, which has 4",
        ),
        (
            config.flat_from_sizes("image", torch.tensor([2, 3]), dim=1),
            numbered(1, 6),
            "x: sizes of items add up to 5, and dim 1 has 6",
        ),
        (
            config.flat_from_sizes("image", torch.tensor([2, 3])),
            [numbered(1)] * 4,
            "x: sizes of items add up to 5, and dim 0 has 4",
        ),
        (
            config.flat("image", [slice(0, 1)], dim=1),
            [numbered(2, 2)],
            "x: items are runs along dim 1, and there are 1 dims (a list has 1)",
        ),
        (
            config.flat("image", [(slice(0, 1), slice(0, 1))]),
            numbered(2),
            "x: items are runs along dim 1, and there are 1 dims (a list has 1)",
        ),
        (
            config.flat("image", [slice(0, 1)], dim=-2),
            numbered(2),
            "x: items are runs along dim -2, and there are 1 dims (a list has 1)",
        ),
        (config.flat("image", [slice(0, 1)]), 3, "x: items are runs along dim 0, and there are 0 dims (a list has 1)"),
    ],
)
def test_data_that_do_not_fit_their_cut_are_refused(field: config, value: object, message: str) -> None:
    with pytest.raises(InputError) as raised:
        field.build_elems("x", value)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (torch.tensor([[1, 2]]), r"^size_per_item: are \[1, 2\]; one dim, \[items\], is wanted$"),
        (torch.tensor(3), r"^size_per_item: are \[\]; one dim"),
        (torch.tensor([3, -1]), r"^size_per_item: are \[3, -1\]; sizes from 0 up are wanted$"),
        (torch.tensor([1.0]), r"^size_per_item: are torch.float32; whole numbers are wanted$"),
        (torch.tensor([True]), r"^size_per_item: are torch.bool; whole"),
        ([1, 2], r"^size_per_item: are list; a tensor \[items\] of whole numbers is wanted$"),
    ],
)
def test_sizes_are_whole_numbers_of_one_dim(sizes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        config.flat_from_sizes("image", sizes)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (slice(3, 0, -1), r"^slices\[1\]: is slice\(3, 0, -1\); an item goes forwards$"),
        (slice(0, 3, 0), r"^slices\[1\]: is slice\(0, 3, 0\); an item goes forwards$"),
        (slice(0.5, 2), r"^slices\[1\]: is slice\(0.5, 2, None\); bounds are whole numbers$"),
        (3, r"^slices\[1\]: is 3; a slice, or one for each dim, is wanted$"),
        ([slice(None), 3], r"^slices\[1\]\[1\]: is 3; a slice is wanted$"),
    ],
)
def test_what_is_no_slice_is_refused(found: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        config.flat("image", [slice(0, 1), found])


def test_a_value_is_shared_by_0_items_or_more() -> None:
    with pytest.raises(InputError, match=r"^batch_size: a value cannot be shared by -1 items$"):
        config.shared("image", -1)
    assert cut(config.shared("image", 0), 3) == []


# joining


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ([numbered(2, 3)], numbered(1, 2, 3)),
        ([numbered(2), numbered(2)], torch.stack([numbered(2)] * 2)),
        ([numbered(2), numbered(3)], [numbered(2), numbered(3)]),
        ([numbered(2), numbered(2).half()], [numbered(2), numbered(2).half()]),
        ([[numbered(2)], [numbered(2)]], [[numbered(2)], [numbered(2)]]),
        ([numbered(2), [numbered(2)]], [numbered(2), [numbered(2)]]),
    ],
)
def test_batched_items_are_stacked_where_they_are_alike(parts: list[NestedTensors], wanted: NestedTensors) -> None:
    assert same_tensors(joined(BATCHED, *parts), wanted)


@pytest.mark.parametrize("dim", [1, -2])
def test_flat_items_are_put_one_after_the_other(dim: int) -> None:
    parts = numbered(2, 6, 3).split([1, 0, 5], dim)
    assert torch.equal(joined(MultiModalFlatField(dim), *parts), numbered(2, 6, 3))


def test_a_single_flat_item_is_not_copied() -> None:
    part = numbered(2)
    assert joined(FLAT, part) is part


def test_where_other_dims_of_flat_items_differ_zeros_fill_them_up() -> None:
    ones = [torch.ones(2, 1, 3), torch.ones(2, 2, 1)]
    wanted = torch.tensor([[[1, 1, 1], [1, 0, 0], [1, 0, 0]]] * 2)
    assert torch.equal(joined(MultiModalFlatField(1), *ones).long(), wanted)


def test_flat_lists_become_one_list() -> None:
    assert same(joined(FLAT, [numbered(1)], [], [numbered(2), numbered(3)]), [numbered(1), numbered(2), numbered(3)])


def test_a_shared_value_stands_for_all() -> None:
    value = numbered(2)
    assert joined(SHARED, value, value.clone()) is value


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (
            (BATCHED, numbered(2)),
            (FLAT, numbered(2)),
            r"MultiModalFlatField\(dim=0, .*\) is not MultiModalBatchedField\(",
        ),
        ((FLAT, numbered(2, 2)), (MultiModalFlatField(1), numbered(2, 2)), r"MultiModalFlatField\(dim=1, .*\(dim=0"),
        ((BATCHED, numbered(2)), (MultiModalBatchedField(True), numbered(2)), "keep_on_cpu=True.* is not .*=False"),
        ((FLAT, numbered(2)), (FLAT, [numbered(2)]), "a list does not go behind torch.int64 of 1 dims on cpu"),
        (
            (FLAT, numbered(2)),
            (FLAT, numbered(2).half()),
            "torch.float16 of 1 dims on cpu does not go behind torch.int64",
        ),
        ((FLAT, numbered(2)), (FLAT, numbered(2, 2)), "torch.int64 of 2 dims on cpu does not go behind"),
        ((SHARED, numbered(2)), (SHARED, numbered(3)), "the values that all items should share differ"),
    ],
)
def test_items_of_other_kinds_or_forms_are_not_joined(one: Any, other: Any, message: str) -> None:
    elems = [MultiModalFieldElem(data, field) for field, data in (one, one, other)]
    with pytest.raises(
        InputError, match=f"^x: item 2 cannot be joined with item 0: .*{message}.*; encode it by itself$"
    ):
        join_elems(elems, "x")


def test_there_is_nothing_to_join_of_no_item() -> None:
    with pytest.raises(InputError, match="there is no item to join"):
        join_elems([])


# comparing


def test_values_are_the_same_by_structure_dtype_shape_and_content() -> None:
    values: list[Any] = [
        numbered(2),
        numbered(2).int(),
        numbered(2) + 1,
        numbered(1, 2),
        torch.tensor([1.0, torch.nan]),
    ]
    values += [[numbered(2)], [numbered(2), numbered(2)], [numbered(2), numbered(2) + 1], [], [[]]]
    copies = deepcopy(values)
    assert [[same_tensors(one, other) for other in copies] for one in values] == torch.eye(len(values)).bool().tolist()


def test_elems_are_equal_by_kind_and_content() -> None:
    elem = MultiModalFieldElem(numbered(2), BATCHED)
    assert elem == MultiModalFieldElem(numbered(2), MultiModalBatchedField())
    assert elem != MultiModalFieldElem(numbered(2), FLAT)
    assert elem != MultiModalFieldElem(numbered(3), BATCHED)
    assert elem != "elem"
