"""A shape: its dims, arithmetic, dtypes; how it prints and resolves; all that is wrong with one at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from triptych.errors import SchemaError, TriptychError
from triptych.schemas import TensorShape


def wrong(*dims: Any, **options: Any) -> list[str]:
    with pytest.raises(SchemaError) as raised:
        TensorShape(*dims, **options)
    return str(raised.value).splitlines()


def test_printing_marks_dynamic_symbols_with_a_star() -> None:
    assert str(TensorShape("bn", "p", 3, "h//14", dynamic_dims={"p"})) == "(bn, p*, 3, h//14)"
    assert str(TensorShape(..., 3)) == "(..., 3)"
    assert str(TensorShape()) == "()"


def test_its_repr_says_what_was_asked() -> None:
    shape = TensorShape("n", 2, dynamic_dims=["n"], dtype="int", min=0)
    assert repr(shape) == "TensorShape('n', 2, dynamic_dims={'n'}, dtype=('int',), min=0)"
    assert repr(TensorShape()) == "TensorShape()"


def test_resolve_substitutes_known_symbols_and_keeps_the_others() -> None:
    shape = TensorShape(..., "bn", 3, "h//p", "h*(w+1)")
    assert shape.resolve(bn=2, p=14) == ("...", 2, 3, "h//p", "h*(w+1)")
    assert shape.resolve(h=336, p=14, w=1) == ("...", "bn", 3, 24, 672)


def test_arithmetic_that_divides_by_zero_does_not_resolve() -> None:
    with pytest.raises(SchemaError, match=r"'h//p' divides by zero with h=4, p=0"):
        TensorShape("h//p").resolve(h=4, p=0)


def test_dims_dots_and_dtypes_are_equal_however_they_are_spelt() -> None:
    assert TensorShape(..., 3, dtype=torch.float32) == TensorShape("...", 3, dtype="float32")
    assert hash(TensorShape("n", dynamic_dims=["n"])) == hash(TensorShape("n", dynamic_dims={"n"}))


@pytest.mark.parametrize("dim", [2.0, True, None, (3,)])
def test_a_dim_of_another_type_fails_with_a_type_error(dim: Any) -> None:
    with pytest.raises(TypeError, match=r"dims\[1\]: a dim is a whole number or a string, not") as raised:
        TensorShape("n", dim)
    assert isinstance(raised.value, TriptychError)
    assert raised.value.path == "dims[1]"


def test_a_negative_dim_is_refused() -> None:
    assert wrong(-1) == ["dims[0]: a dim is at least 0, not -1"]


def test_leading_dims_come_first() -> None:
    assert wrong("n", ..., 3) == ["dims[1]: '...' stands for leading dims, so it comes first"]


@pytest.mark.parametrize(
    "dim",
    ["", "3", "h//", "h/2", "h**2", "h%2", "-h", "h.size", "len(h)", "h[0]", "h if w else 3", "h*2.5", "h*True", "a,b"]
    + ["__import__('os')", "h\0", "(" * 90 + "h" + ")" * 9],
)
def test_arithmetic_takes_plus_minus_times_and_floor_division_and_nothing_else(dim: str) -> None:
    assert wrong(dim)[0].startswith("dims[0]: ")
    assert "is no dim; a whole number, a symbol," in wrong(dim)[0]


def test_arithmetic_is_bounded() -> None:
    assert wrong("+".join("h" * 60)) == ["dims[0]: a dim of 119 characters; at most 100"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dynamic_dims": {"hh"}}, r"dynamic_dims: 'hh' is no symbol among the dims; did you mean 'h'\?"),
        ({"dynamic_dims": {"h"}}, "dynamic_dims: 'h' is dynamic, so never bound, and arithmetic asks for it"),
        ({"dtype": "flaot"}, r"dtype: unknown dtype 'flaot'; did you mean 'float'\?"),
        ({"dtype": ["int", "torch.qint9"]}, "dtype: unknown dtype 'qint9'; did you mean 'int"),
        ({"min": 3, "max": 2}, "min: nothing is at least 3 and at most 2"),
    ],
)
def test_options_that_cannot_be_met_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        TensorShape("h", "h//2", **options)


@pytest.mark.parametrize("options", [{"dynamic_dims": "n"}, {"dynamic_dims": [1]}, {"min": "1"}, {"max": True}])
def test_options_of_another_type_fail_with_a_type_error(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        TensorShape("n", **options)


def test_all_that_is_wrong_with_a_shape_is_told_at_once() -> None:
    found = wrong("n", -1, "a b", dynamic_dims={"m"}, dtype="floatt", min=2, max=1)
    assert [line.partition(":")[0] for line in found] == ["dims[1]", "dims[2]", "dynamic_dims", "dtype", "min"]


def arithmetic(operands: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(operands, st.sampled_from(["+", "-", "*", "//"]), operands).map(lambda t: f"({t[0]}{t[1]} {t[2]})")


EXPRESSIONS = st.recursive(st.sampled_from(["h", "w", "2", "7"]), arithmetic, max_leaves=6)


@given(EXPRESSIONS.filter(lambda text: "h" in text or "w" in text), st.integers(0, 99), st.integers(0, 99))
def test_arithmetic_agrees_with_python(text: str, h: int, w: int) -> None:
    text = f"0+{text}"
    try:
        wanted = eval(text, {"h": h, "w": w})  # the reference; the text is made here
    except ZeroDivisionError:
        with pytest.raises(SchemaError, match="divides by zero"):
            TensorShape(text).resolve(h=h, w=w)
    else:
        assert TensorShape(text).resolve(h=h, w=w) == (wanted,)


SYMBOLS = list("abcd")
DIMS = st.lists(st.one_of(st.integers(0, 9), st.sampled_from(SYMBOLS)), max_size=5)


@given(DIMS, st.sets(st.sampled_from(SYMBOLS)), st.dictionaries(st.sampled_from(SYMBOLS), st.integers(0, 9)))
def test_what_resolves_prints_as_it_resolved(dims: list[int | str], dynamic: set[str], sizes: dict[str, int]) -> None:
    shape = TensorShape(*dims, dynamic_dims=dynamic & set(map(str, dims)))
    found = shape.resolve(**sizes)
    assert found == tuple(sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in dims)
    assert TensorShape(*found).resolve() == found, "resolving again changes nothing"
    starred = [f"{d}*" if d in shape.dynamic_dims else str(d) for d in dims]
    assert str(shape) == f"({', '.join(starred)})"
