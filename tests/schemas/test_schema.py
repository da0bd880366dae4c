"""Values against a schema: each rule by its own name, each message with the shapes wanted and found."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from triptych.errors import MissingFieldError, SchemaError, SchemaTypeError, TriptychError
from triptych.schemas import TensorSchema, TensorShape


class Pixels(TensorSchema):
    type: Literal["pixel_values"] = "pixel_values"
    pixel_values: Annotated[Tensor | list[Tensor], TensorShape("bn", 3, "h", "w")]
    sizes: Annotated[Tensor | None, TensorShape("bn", 2, dtype="int")]


class Patches(TensorSchema):
    patches: Annotated[list[Tensor], TensorShape("bn", "p", 3, dynamic_dims={"p"})]
    counts: Annotated[Any, TensorShape("bn")] | None


def told(schema: type[TensorSchema], **values: Any) -> list[str]:
    with pytest.raises(SchemaError) as raised:
        schema(**values)
    return str(raised.value).splitlines()


def one(shape: TensorShape) -> type[TensorSchema]:
    """A schema of one field, `x`."""
    return type("One", (TensorSchema,), {"__annotations__": {"x": Annotated[Any, shape]}})


def test_items_are_got_by_name() -> None:
    pixels = Pixels(pixel_values=torch.zeros(2, 3, 4, 4))
    assert pixels["pixel_values"] is pixels.pixel_values
    assert pixels["type"] == "pixel_values", "the value in the class is the default"
    assert pixels.get("sizes") is None
    assert pixels.get("no such", 7) == 7


def test_a_missing_item_is_an_attribute_error() -> None:
    pixels = Pixels(pixel_values=torch.zeros(2, 3, 4, 4))
    with pytest.raises(AttributeError, match="sizes: not given"):
        pixels["sizes"]
    with pytest.raises(MissingFieldError, match=r"pixel_value: no such field; did you mean 'pixel_values'\?") as raised:
        pixels["pixel_value"]
    assert isinstance(raised.value, TriptychError)
    assert raised.value.path == "pixel_value"


@pytest.mark.parametrize("values", [{}, {"pixel_values": None}])
def test_absent_or_none_fails_with_a_value_error_naming_the_field(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^pixel_values: required, and not given$"):
        Pixels(**values)


class Spellings(TensorSchema):
    inside: Annotated[Tensor | None, TensorShape("n")]
    outside: Annotated[Tensor, TensorShape("n")] | None


@pytest.mark.parametrize("field", ["inside", "outside"])
def test_optional_fields_are_checked_when_present_in_both_spellings(field: str) -> None:
    Spellings()
    Spellings(**{field: None})
    Spellings(**{field: torch.zeros(4)})
    assert told(Spellings, **{field: torch.zeros(2, 3)}) == [
        f"{field}: expected shape (n), found (2, 3): rank 2, not 1"
    ]


def test_base_class_fields_come_first() -> None:
    class More(Pixels):
        extra: Annotated[Tensor, TensorShape("bn")]

    found = told(More, extra=torch.zeros(3), pixel_values=torch.zeros(2, 3, 4, 4))
    assert found == ["extra: expected shape (bn), found (3): dim 0 must be 2 ('bn', bound by pixel_values), not 3"]
    assert [line.partition(":")[0] for line in told(More)] == ["pixel_values", "extra"]


def test_a_number_is_of_no_dims() -> None:
    scalar = one(TensorShape())
    for value in (1, 2.5, torch.tensor(3)):
        scalar(x=value)
    assert told(scalar, x=torch.zeros(1)) == ["x: expected shape (), found (1): rank 1, not 0"]
    assert told(one(TensorShape("n")), x=2.5) == ["x: expected shape (n), found (): rank 0, not 1"]


def test_a_list_is_its_length_and_the_shape_of_its_first_element() -> None:
    shape = one(TensorShape(2, 3, 4))
    for value in (
        torch.zeros(2, 3, 4),
        [torch.zeros(3, 4)] * 2,
        (torch.zeros(3, 4),) * 2,
        [[torch.zeros(4)] * 3] * 2,
        torch.zeros(2, 3, 4).tolist(),
    ):
        shape(x=value)
    assert told(shape, x=[torch.zeros(3, 5)]) == [
        "x: expected shape (2, 3, 4), found (1, 3, 5): dim 0 must be 2, not 1; dim 2 must be 4, not 5"
    ]


def test_a_list_of_one_is_a_batch_of_one() -> None:
    Patches(patches=[torch.zeros(5, 3)], counts=[5])


def test_nested_lists_may_be_ragged_on_dynamic_dims() -> None:
    Patches(patches=[torch.zeros(5, 3), torch.zeros(7, 3)], counts=[5, 7])
    one(TensorShape("n", "p", dynamic_dims={"p"}))(x=[[1, 2, 3], [4.5]])
    one(TensorShape("n", "m", "p", dynamic_dims={"p"}))(x=[[[1], [2, 3]], [[4], [5]]])


def test_nested_lists_may_be_ragged_only_on_dynamic_dims() -> None:
    images = [torch.zeros(3, 4, 4), torch.zeros(3, 5, 4), torch.zeros(3, 4)]
    wanted = "expected shape (bn, 3, h, w), of items that differ in dynamic dims alone"
    assert told(Pixels, pixel_values=images) == [
        f"pixel_values[1]: {wanted}, found (3, 5, 4) beside (3, 4, 4) at pixel_values[0]",
        f"pixel_values[2]: {wanted}, found (3, 4) beside (3, 4, 4) at pixel_values[0]",
    ]
    (line,) = told(one(TensorShape(..., 2)), x=[[[1, 2]], [[1, 2], [3, 4]]])
    assert line.startswith("x[1]: expected shape (..., 2), of items that differ")


def test_lists_are_compared_from_the_right() -> None:
    with pytest.raises(SchemaError, match=r"patches\[1\].*found \(5, 4\) beside \(5, 3\)"):
        Patches(patches=[torch.zeros(5, 3), torch.zeros(5, 4)])
    one(TensorShape(..., "p", 2, dynamic_dims={"p"}))(x=[[torch.zeros(3, 2)], [torch.zeros(1, 2)]])


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ([], "x: expected shape (n, m*), found an empty list"),
        ([[1, 2], ()], "x[1]: expected shape (n, m*), found an empty tuple"),
        ([[[]]], "x[0][0]: expected shape (n, m*), found an empty list"),
    ],
)
def test_an_empty_sequence_fails_with_a_value_error_and_its_index_path(value: Any, line: str) -> None:
    assert told(one(TensorShape("n", "m", dynamic_dims={"m"})), x=value) == [line]


def test_a_tensor_of_no_rows_is_no_empty_sequence() -> None:
    one(TensorShape("n", 3))(x=torch.zeros(0, 3))


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        (np.zeros((2, 3)), "x", "numpy.ndarray of shape (2, 3) (torch.from_numpy makes a tensor of it)"),
        (np.float64(1), "x", "numpy.float64"),
        ("text", "x", "str"),
        ({"a": 1}, "x", "dict"),
        ([torch.zeros(3), np.zeros(3)], "x[1]", "numpy.ndarray of shape (3) (torch.from_numpy makes a tensor of it)"),
        ([[1.0, "2"]], "x[0][1]", "str"),
    ],
)
def test_anything_else_fails_with_a_type_error_its_index_path_and_what_is_accepted(
    value: Any, path: str, found: str
) -> None:
    with pytest.raises(TypeError) as raised:
        one(TensorShape("n", 3))(x=value)
    assert str(raised.value) == f"{path}: expected a tensor, int, float, list or tuple for shape (n, 3), found {found}"
    assert isinstance(raised.value, SchemaError)
    assert raised.value.path == path


def test_of_a_list_of_many_wrong_items_the_first_are_told() -> None:
    found = told(one(TensorShape("n")), x=["text"] * 1000)
    assert len(found) == 11
    assert found[-1] == "x: ... and 990 more"


def test_many_faults_that_lenient_ignores_hide_none_that_it_refuses() -> None:
    class Waves(TensorSchema, lenient=True):
        x: Annotated[Tensor, TensorShape("n")]

    assert len(Waves(x=[True] * 20).ignored) == 11
    (line,) = told(Waves, x=[*[True] * 20, "text"])
    assert line.startswith("x[20]: expected a tensor")


def test_lists_may_be_nested_as_deep_as_tensors_have_dims() -> None:
    value: Any = 1
    for _ in range(5000):
        value = [value]
    (line,) = told(one(TensorShape(...)), x=value)
    assert line.endswith("expected shape (...), found lists nested deeper than 64")


def test_rank_must_equal_the_number_of_dims() -> None:
    assert told(Pixels, pixel_values=torch.zeros(3, 4, 4)) == [
        "pixel_values: expected shape (bn, 3, h, w), found (3, 4, 4): rank 3, not 4"
    ]


def test_leading_dots_take_any_leading_dims() -> None:
    leading = one(TensorShape(..., "h", 2))
    for value in (torch.zeros(5, 2), torch.zeros(3, 5, 2), torch.zeros(1, 3, 5, 2)):
        leading(x=value)
    assert told(leading, x=torch.zeros(2)) == ["x: expected shape (..., h, 2), found (2): rank 1, not at least 2"]
    assert told(leading, x=torch.zeros(4, 2, 3)) == [
        "x: expected shape (..., h, 2), found (4, 2, 3): dim 2 must be 2, not 3"
    ]


def test_a_whole_number_is_exact() -> None:
    assert told(Pixels, pixel_values=torch.zeros(2, 4, 8, 8)) == [
        "pixel_values: expected shape (bn, 3, h, w), found (2, 4, 8, 8): dim 1 must be 3, not 4"
    ]


def test_the_first_value_seen_binds_a_symbol_for_all_later_fields() -> None:
    assert told(Pixels, pixel_values=torch.zeros(2, 3, 8, 8), sizes=torch.ones(5, 2, dtype=torch.int64)) == [
        "sizes: expected shape (bn, 2), found (5, 2): dim 0 must be 2 ('bn', bound by pixel_values), not 5"
    ]


def test_a_symbol_stands_for_one_size_within_a_shape_too() -> None:
    assert told(one(TensorShape("n", "n")), x=torch.zeros(2, 3)) == [
        "x: expected shape (n, n), found (2, 3): dim 1 must be 2 ('n', bound by x), not 3"
    ]


def test_an_optional_field_that_is_absent_binds_nothing() -> None:
    class Both(TensorSchema):
        a: Annotated[Tensor, TensorShape("n")] | None
        b: Annotated[Tensor, TensorShape("n")]

    Both(b=torch.zeros(3))
    Both(a=None, b=torch.zeros(4))


def test_symbols_of_one_schema_are_free_again_in_the_next() -> None:
    for count in (2, 5):
        Pixels(pixel_values=torch.zeros(count, 3, 4, 4))


class Twice(TensorSchema):
    a: Annotated[Tensor, TensorShape("n", dynamic_dims={"n"})]
    b: Annotated[Tensor, TensorShape("n")]
    c: Annotated[Tensor, TensorShape("n", dynamic_dims={"n"})]


def test_dynamic_symbols_are_neither_bound_nor_compared() -> None:
    Twice(a=torch.zeros(2), b=torch.zeros(3), c=torch.zeros(4))


def test_resolve_bindings_make_a_symbol_exact_even_a_dynamic_one() -> None:
    values = {"a": torch.zeros(2), "b": torch.zeros(3), "c": torch.zeros(4)}
    assert told(Twice, **values, resolve_bindings={"n": 3}) == [
        "a: expected shape (3), found (2): dim 0 must be 3 ('n', bound by resolve_bindings), not 2",
        "c: expected shape (3), found (4): dim 0 must be 3 ('n', bound by resolve_bindings), not 4",
    ]
    Twice(**dict.fromkeys("abc", torch.zeros(3)), resolve_bindings={"n": 3})


def test_a_bound_dynamic_symbol_lets_no_list_be_ragged() -> None:
    patches = [torch.zeros(5, 3), torch.zeros(7, 3)]
    Patches(patches=patches)
    found = told(Patches, patches=patches, resolve_bindings={"p": 5})
    assert found[0].startswith("patches[1]: expected shape (bn, 5, 3), of items")


def test_a_binding_of_another_type_fails_with_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"resolve_bindings\.p: expected a whole number, found 5\.0 \(float\)"):
        Patches(patches=[torch.zeros(5, 3)], resolve_bindings={"p": 5.0})  # type: ignore[dict-item]


def test_a_binding_of_an_unknown_symbol_is_refused() -> None:
    assert told(Patches, patches=[torch.zeros(5, 3)], resolve_bindings={"bnp": 1}) == [
        "resolve_bindings.bnp: no field has this symbol; did you mean 'bn'?"
    ]


class Grid(TensorSchema):
    patches: Annotated[Tensor, TensorShape("n", "(h//p)*(w//p)")]
    image: Annotated[Tensor, TensorShape("n", "h", "w")] | None


def test_arithmetic_symbols_are_worked_out_from_later_fields_too() -> None:
    image = torch.zeros(2, 8, 4)
    Grid(patches=torch.zeros(2, 8), image=image, resolve_bindings={"p": 2})
    assert told(Grid, patches=torch.zeros(2, 7), image=image, resolve_bindings={"p": 2}) == [
        "patches: expected shape (n, (h//p)*(w//p)), found (2, 7): dim 1 must be 8 ('(h//p)*(w//p)' with h=8, p=2, w=4)"
        ", not 7"
    ]


def test_arithmetic_on_a_symbol_that_no_field_binds_wants_it_given() -> None:
    assert told(Grid, patches=torch.zeros(2, 7), image=torch.zeros(2, 8, 4)) == [
        "patches: no field binds 'p' of (n, (h//p)*(w//p)); give its size in resolve_bindings"
    ]


def test_a_dynamic_symbol_decides_no_arithmetic_unless_it_is_given() -> None:
    class Halves(TensorSchema):
        a: Annotated[Tensor, TensorShape("n", dynamic_dims={"n"})]
        b: Annotated[Tensor, TensorShape("n//2")]

    assert told(Halves, a=torch.zeros(4), b=torch.zeros(2)) == [
        "b: no field binds 'n' of (n//2); give its size in resolve_bindings"
    ]
    Halves(a=torch.zeros(4), b=torch.zeros(2), resolve_bindings={"n": 4})


def test_arithmetic_is_let_be_where_the_field_that_would_decide_it_is_left_out() -> None:
    Grid(patches=torch.zeros(2, 7), resolve_bindings={"p": 2})


def test_arithmetic_that_divides_by_zero_fails() -> None:
    (line,) = told(Grid, patches=torch.zeros(2, 7), resolve_bindings={"p": 0, "h": 4, "w": 4})
    assert line.endswith("dim 1, '(h//p)*(w//p)', divides by zero with h=4, p=0, w=4")


def test_a_literal_field_holds_one_of_its_values() -> None:
    assert told(Pixels, pixel_values=torch.zeros(1, 3, 2, 2), type="pixel_valeus") == [
        "type: expected 'pixel_values', found 'pixel_valeus' (str); did you mean 'pixel_values'?"
    ]


def test_a_literal_tells_a_bool_from_an_int() -> None:
    class Flags(TensorSchema):
        count: Literal[1, 2]
        flag: Literal[True] | None

    Flags(count=1, flag=True)
    assert told(Flags, count=True, flag=1) == [
        "count: expected 1 or 2, found True (bool)",
        "flag: expected True, found 1 (int)",
    ]


def test_dtypes_are_checked_by_name_and_by_group() -> None:
    class Typed(TensorSchema):
        exact: Annotated[Tensor, TensorShape(dtype=torch.bfloat16)]
        group: Annotated[Tensor, TensorShape(dtype="float")]
        either: Annotated[Tensor, TensorShape(dtype=["bool", "int"])]

    scalars = {name: torch.zeros((), dtype=getattr(torch, name)) for name in ("bfloat16", "float64", "bool", "uint8")}
    Typed(exact=scalars["bfloat16"], group=scalars["float64"], either=scalars["uint8"])
    assert told(Typed, exact=scalars["float64"], group=scalars["bool"], either=scalars["bfloat16"]) == [
        "exact: expected dtype bfloat16, found float64",
        "group: expected dtype float, found bool",
        "either: expected dtype bool or int, found bfloat16",
    ]


def test_each_tensor_of_a_list_has_the_dtype() -> None:
    sizes = [torch.ones(2, dtype=torch.int64), torch.ones(2)]
    assert told(Pixels, pixel_values=torch.zeros(2, 3, 4, 4), sizes=sizes) == [
        "sizes[1]: expected dtype int, found float32"
    ]


class Numbers(TensorSchema):
    count: Annotated[int, TensorShape(min=1, max=8)]
    scale: Annotated[float, TensorShape()] | None
    flags: Annotated[list[bool], TensorShape("n", dtype="bool")] | None
    plain: int | None
    rate: float | str | None


def test_a_bool_is_no_number() -> None:
    Numbers(count=3, scale=1, flags=[True, False], plain=2, rate=1)
    with pytest.raises(TypeError) as raised:
        Numbers(count=True, scale=False, flags=[1, True], plain=True, rate=True)
    assert str(raised.value).splitlines() == [
        "count: expected int, found bool True",
        "scale: expected float or int, found bool False",
        "flags[0]: expected bool, found int 1",
        "plain: expected int, found True (bool)",
        "rate: expected float or str, found True (bool)",
    ]
    with pytest.raises(TypeError, match=r"x\[1\]: expected float or int, found bool True"):
        one(TensorShape("n"))(x=[1, True])


def test_a_float_is_no_int() -> None:
    with pytest.raises(TypeError, match="count: expected int, found float 2"):
        Numbers(count=2.0)
    with pytest.raises(TypeError, match=r"plain: expected int, found 2\.0 \(float\)"):
        Numbers(count=2, plain=2.0)


@pytest.mark.parametrize(("value", "bound"), [(0, "at least 1"), (9, "at most 8")])
def test_ints_stay_within_min_and_max(value: int, bound: str) -> None:
    assert told(Numbers, count=value) == [f"count: expected {bound}, found {value}"]
    assert told(one(TensorShape("n", min=1, max=8)), x=[3, value]) == [f"x[1]: expected {bound}, found {value}"]


def test_unknown_keyword_arguments_fail() -> None:
    assert told(Pixels, pixel_values=torch.zeros(1, 3, 2, 2), size=1) == ["size: no such field; did you mean 'sizes'?"]


def test_all_independent_faults_are_told_together() -> None:
    found = told(Pixels, type="x", sizes=torch.zeros(2, 2), extra=1)
    assert [line.partition(":")[0] for line in found] == ["type", "pixel_values", "sizes", "extra"]


def test_a_wrong_shape_is_no_type_error() -> None:
    with pytest.raises(SchemaError) as raised:
        Pixels(pixel_values=torch.zeros(2))
    assert not isinstance(raised.value, TypeError)


def test_validate_false_skips_everything() -> None:
    pixels = Pixels(validate=False, resolve_bindings={"n": "x"}, pixel_values="text", extra=1)  # type: ignore[dict-item]
    assert pixels["extra"] == 1
    with pytest.raises(SchemaTypeError, match="pixel_values: expected a tensor"):
        pixels.validate()


def test_print_shapes_lists_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    images = [torch.zeros(3, 4, 4), torch.zeros(3, 4, 4), torch.zeros(3, 8, 4)]
    pixels = Pixels(validate=False, type="pixel_values", pixel_values=images, sizes=torch.zeros(2, 2), other=object())
    pixels.print_shapes()
    assert capsys.readouterr().out.splitlines() == [
        "type: 'pixel_values' (str)",
        "pixel_values: list of 3: (3, 4, 4), (3, 8, 4)",
        "sizes: (2, 2)",
        "other: object",
    ]
    assert repr(Pixels(pixel_values=torch.zeros(1, 3, 2, 2))) == "Pixels(pixel_values=(1, 3, 2, 2))"


class Ported(TensorSchema, lenient=True):
    type: Literal["pixels"]
    pixels: Annotated[Tensor, TensorShape("n", 3, dtype="float")]
    sizes: Annotated[Tensor, TensorShape("n", "m+1")] | None
    count: int | None


def test_lenient_restores_the_convention_and_lists_what_it_ignored() -> None:
    values = {"type": "x", "pixels": torch.ones(2, 3, dtype=torch.int64), "sizes": torch.ones(4, 2), "count": True}
    ported = Ported(**values, extra=1, resolve_bindings={"m": 4, "q": 1})
    assert list(map(str, ported.ignored)) == [
        "resolve_bindings.q: no field has this symbol; known: m, n",
        "type: expected 'pixels', found 'x' (str)",
        "pixels: expected dtype float, found int64",
        "sizes: expected shape (n, m+1), found (4, 2): dim 0 must be 2 ('n', bound by pixels), not 4",
        "sizes: expected shape (n, m+1), found (4, 2): dim 1 must be 5 ('m+1' with m=4), not 2",
        "count: expected int, found True (bool)",
        "extra: no such field; known: count, pixels, sizes, type",
    ]
    assert ported["extra"] == 1


def test_lenient_still_refuses_what_the_convention_refuses() -> None:
    (line,) = told(Ported, type="x", pixels=torch.zeros(2, 4))
    assert line == "pixels: expected shape (n, 3), found (2, 4): dim 1 must be 3, not 4"


def test_a_field_that_lenient_ignores_binds_no_symbol() -> None:
    class Late(TensorSchema, lenient=True):
        a: Annotated[Tensor, TensorShape("n")] | None
        b: Annotated[Tensor, TensorShape("n")]

    assert Late(a=torch.zeros(2), b=torch.zeros(3)).ignored == ()


def test_strict_schemas_ignore_nothing_and_leniency_is_inherited() -> None:
    class Child(Ported):
        more: int | None

    class Strict(Ported, lenient=False):
        pass

    assert Child(type="x", pixels=torch.zeros(1, 3), more=1.5).ignored
    assert told(Strict, type="x", pixels=torch.zeros(1, 3)) == ["type: expected 'pixels', found 'x' (str)"]


def test_values_put_in_later_are_validated_on_request() -> None:
    pixels = Pixels(pixel_values=torch.zeros(2, 3, 4, 4))
    pixels.pixel_values = torch.zeros(2, 4)
    with pytest.raises(SchemaError, match="rank 2, not 4"):
        pixels.validate()


def test_parameters_and_other_subclasses_of_tensors_are_tensors() -> None:
    one(TensorShape(2))(x=torch.nn.Parameter(torch.zeros(2)))
    assert told(one(TensorShape(2)), x=torch.zeros(3, device="meta")) == [
        "x: expected shape (2), found (3): dim 0 must be 2, not 3"
    ]
