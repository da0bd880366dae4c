"""Items of a modality held to what their tower takes: each by itself, every fault under the item's number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.errors import InputError, SchemaError
from triptych.schemas import TensorSchema, compile_schema
from triptych.schemas.items import ItemSchema

PIXELS = {"type": "pixel_values", "pixel_values": {"shape": [3, 4, 5], "dtype": "float"}}


def schema(**fields: Any) -> type[TensorSchema]:
    return compile_schema("Mine", fields)


@settings(max_examples=60, deadline=None)
@given(shapes=st.lists(st.tuples(st.integers(2, 4), st.integers(3, 5), st.integers(4, 6)), max_size=6))
def test_each_item_that_does_not_fit_is_told_with_both_whole_shapes(shapes: list[tuple[int, int, int]]) -> None:
    items, fixed = [torch.empty(shape) for shape in shapes], ItemSchema(schema(**PIXELS))
    wrong = {number: shape for number, shape in enumerate(shapes) if shape != (3, 4, 5)}
    if not wrong:
        return fixed.check(items, modality="image")
    with pytest.raises(InputError) as found:
        fixed.check(items, modality="image")
    told = [(problem.path, problem.message.partition(": ")[0]) for problem in found.value.problems]
    assert told == [(f"image[{n}]", f"expected shape (3, 4, 5), found {shape}") for n, shape in wrong.items()]
    return None


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=4))
def test_a_symbol_is_bound_within_one_item_alone(sizes: list[tuple[int, int]]) -> None:
    square = ItemSchema(schema(pixels=["c", "s", "s"]))
    square.check([torch.empty(1, y, y) for y, _ in sizes], modality="image")
    wrong = [number for number, (y, x) in enumerate(sizes) if y != x]
    try:
        square.check([torch.empty(1, y, x) for y, x in sizes], modality="image")
        found = []
    except InputError as error:
        found = [int(problem.path.removeprefix("image[").removesuffix("]")) for problem in error.problems]
    assert found == wrong


@pytest.mark.parametrize(
    ("item", "message", "error"),
    [
        (torch.zeros(3, 4, 5, dtype=torch.uint8), r"^image\[1\]: expected dtype float, found uint8$", ValueError),
        (torch.zeros(4, 5), r"expected shape \(3, 4, 5\), found \(4, 5\): rank 2, not 3$", ValueError),
        ([[[0.0]]], r"^image\[1\]: expected a tensor of shape \(3, 4, 5\), found list$", TypeError),
        (None, r"^image\[1\]: expected a tensor of shape \(3, 4, 5\), found NoneType$", TypeError),
    ],
)
def test_what_is_no_such_tensor_is_refused(item: object, message: str, error: type[Exception]) -> None:
    with pytest.raises(InputError, match=message) as found:
        ItemSchema(schema(**PIXELS)).check([torch.zeros(3, 4, 5), item], modality="image")
    assert isinstance(found.value, error)


def test_arithmetic_on_symbols_of_an_item_is_held_to() -> None:
    patches = ItemSchema(schema(patches=["n", "2*n"]))
    patches.check([torch.empty(3, 6)], modality="image")
    with pytest.raises(InputError, match=r"image\[0\]: expected shape \(n, 2\*n\), found \(3, 5\): dim 1 must be 6"):
        patches.check([torch.empty(3, 5)], modality="image")


def test_optional_fields_and_words_are_no_matter_of_the_item() -> None:
    fields = {"mode": {"literal": ["a", "b"]}, "pixels": ["n"], "mask": {"shape": ["n"], "optional": True}}
    ItemSchema(schema(**fields)).check([torch.empty(2)], modality="image")


@pytest.mark.parametrize(("fields", "found"), [({"type": "a"}, "none"), ({"x": ["n"], "y": ["n"]}, "x, y")])
def test_a_tower_takes_one_tensor_for_an_item(fields: dict[str, Any], found: str) -> None:
    with pytest.raises(SchemaError, match=f"Mine: a tower takes one tensor for an item; .* required fields: {found}$"):
        ItemSchema(schema(**fields))


def test_schemas_that_their_type_does_not_tell_apart_are_refused() -> None:
    with pytest.raises(SchemaError, match="'pixel_values' selects Mine already"):
        ItemSchema(schema(**PIXELS), (compile_schema("Other", PIXELS),))


def test_no_value_is_read() -> None:
    ItemSchema(schema(**PIXELS)).check([torch.empty(3, 4, 5, device="meta")], modality="image")
