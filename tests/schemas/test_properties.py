"""Shapes at random: validation against a checker that knows one rule at a time, lists against stacked tensors."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from triptych.errors import SchemaError
from triptych.schemas import TensorSchema, TensorShape

SYMBOLS = ["a", "b", "c"]
DIM = st.one_of(st.integers(1, 3), st.sampled_from(SYMBOLS))
SIZES = st.lists(st.integers(1, 3), max_size=3)


@st.composite
def declared(draw: st.DrawFn) -> tuple[TensorShape, list[int]]:
    """A shape, and the sizes of a tensor that has a fair chance to fit it."""
    dims = draw(st.lists(DIM, max_size=3))
    leading = draw(st.booleans())
    dynamic = {dim for dim in dims if isinstance(dim, str) and draw(st.integers(0, 3)) == 0}
    likely = {"a": 1, "b": 2, "c": 3}
    sizes = [likely[dim] if isinstance(dim, str) else dim for dim in dims]
    if draw(st.integers(0, 2)) == 0:
        sizes = draw(SIZES)
    elif leading:
        sizes = draw(SIZES) + sizes
    elif sizes and draw(st.booleans()):
        sizes[draw(st.integers(0, len(sizes) - 1))] = draw(st.integers(1, 3))
    return TensorShape(*([...] if leading else []), *dims, dynamic_dims=dynamic), sizes


def fits(fields: list[tuple[TensorShape, list[int]]], bindings: dict[str, int]) -> bool:
    """The rules one after the other, as the simplest program that can say them."""
    sizes = dict(bindings)
    for shape, whole in fields:
        dims, actual = list(shape.dims), whole
        if dims[:1] == ["..."]:
            dims = dims[1:]
            actual = whole[max(len(whole) - len(dims), 0) :]
        if len(dims) != len(actual):
            return False
        for dim, size in zip(dims, actual, strict=True):
            if isinstance(dim, int):
                wanted = dim
            elif dim in shape.dynamic_dims:
                wanted = bindings.get(dim, size)
            else:
                wanted = sizes.setdefault(dim, size)
            if wanted != size:
                return False
    return True


def schema(*shapes: TensorShape) -> type[TensorSchema]:
    fields = {f"x{place}": Annotated[Tensor, shape] for place, shape in enumerate(shapes)}
    return type("Random", (TensorSchema,), {"__annotations__": fields})


def accepts(cls: type[TensorSchema], values: list[Any], bindings: dict[str, int]) -> bool:
    known = {symbol for field in cls.__annotations__.values() for symbol in field.__metadata__[0].symbols}
    bindings = {symbol: size for symbol, size in bindings.items() if symbol in known}
    try:
        cls(resolve_bindings=bindings, **{f"x{place}": value for place, value in enumerate(values)})
    except SchemaError:
        return False
    return True


BINDINGS = st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 3), max_size=2)


@given(st.lists(declared(), min_size=1, max_size=4), BINDINGS)
def test_validation_agrees_with_a_naive_checker(
    fields: list[tuple[TensorShape, list[int]]], bindings: dict[str, int]
) -> None:
    values = [torch.zeros(sizes) for _, sizes in fields]
    assert accepts(schema(*(shape for shape, _ in fields)), values, bindings) == fits(fields, bindings)


def nested(tensor: Tensor, depth: int) -> Any:
    """A tensor as lists of its rows, `depth` levels of them; lists of numbers where nothing else is left."""
    if not tensor.ndim:
        return tensor.item()
    return [nested(row, depth - 1) for row in tensor] if depth else tensor


@given(declared(), st.integers(1, 4), BINDINGS)
def test_nested_lists_fit_where_the_stacked_tensor_does(
    field: tuple[TensorShape, list[int]], depth: int, bindings: dict[str, int]
) -> None:
    shape, sizes = field
    stacked = torch.zeros(sizes)
    cls = schema(shape)
    assert accepts(cls, [nested(stacked, depth)], bindings) == accepts(cls, [stacked], bindings)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=4), st.booleans(), st.booleans())
def test_lists_are_ragged_where_dims_are_dynamic_and_nowhere_else(
    rows: list[tuple[int, int]], first: bool, second: bool
) -> None:
    dynamic = {symbol for symbol, chosen in (("p", first), ("q", second)) if chosen}
    cls = schema(TensorShape("n", "p", "q", dynamic_dims=dynamic))
    agree = all(symbol in dynamic or len({row[place] for row in rows}) == 1 for place, symbol in enumerate(("p", "q")))
    assert accepts(cls, [[torch.zeros(row) for row in rows]], {}) == agree
    assert accepts(cls, [[torch.zeros(row).tolist() for row in rows]], {}) == ((agree and "q" not in dynamic) or agree)
