"""Annotations to fields: what a class may declare, when it is compiled, and that torch is not needed for it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

import pytest
import torch
from torch import Tensor

from triptych.errors import SchemaError
from triptych.schemas import TensorSchema, TensorShape

if TYPE_CHECKING:
    from decimal import Decimal


def told(cls: type[TensorSchema]) -> list[str]:
    with pytest.raises(SchemaError) as raised:
        cls()
    return str(raised.value).splitlines()


def test_what_no_value_can_be_held_to_is_told_at_once() -> None:
    class Odd(TensorSchema):
        get: int
        twice: Annotated[Tensor, TensorShape("n"), TensorShape("m")]
        nested: Annotated[Annotated[Tensor, TensorShape("n")] | None, TensorShape("m")]
        either: Annotated[Tensor, TensorShape("n")] | str
        both: Annotated[Tensor, TensorShape("n")] | Annotated[Tensor, TensorShape("m")]

    alone = "a field has one TensorShape, and beside it at most None; write a tagged union of two schemas"
    found = {line.split(": ")[0].rpartition(".")[2]: line.split(": ", 1)[1] for line in told(Odd)}
    assert found == {
        "get": "schemas have a member of this name; call the field otherwise",
        "twice": "a field has one TensorShape, not several",
        "nested": "a field has one TensorShape, not several",
        "either": alone,
        "both": alone,
    }


@pytest.mark.parametrize("name", ["validate", "ignored", "print_shapes", "resolve_bindings", "_bindings"])
def test_fields_do_not_hide_what_schemas_have(name: str) -> None:
    cls = type("Odd", (TensorSchema,), {"__annotations__": {name: int}})
    assert told(cls) == [f"Odd.{name}: schemas have a member of this name; call the field otherwise"]


class Unnamed(TensorSchema):
    price: Decimal


def test_an_annotation_that_is_there_for_type_checkers_alone_is_told_by_name() -> None:
    (line,) = told(Unnamed)
    assert line.startswith("Unnamed: an annotation names 'Decimal', which is not there at run time; import it in ")


def test_get_never_fails_even_where_annotations_cannot_be_compiled() -> None:
    unnamed = Unnamed(validate=False, price=3)
    assert unnamed["price"] == 3
    assert unnamed.get("other", 7) == 7


class HasName(Protocol):
    name: str


class Unchecked(TensorSchema):
    kept: ClassVar[int] = 3
    anything: Any
    numbers: list[int]
    named: HasName | None
    described: Annotated[str, "which word"] | None
    mode: Literal["a", None]
    tensor: Tensor | int | None


def test_generic_aliases_protocols_and_any_are_asked_for_and_not_looked_at() -> None:
    Unchecked(anything=object(), numbers="text", named=4)
    assert told(Unchecked) == ["anything: required, and not given", "numbers: required, and not given"]


def test_classes_are_looked_at_under_annotations_and_in_unions() -> None:
    Unchecked(anything=1, numbers=[], described="text", tensor=torch.zeros(1))
    with pytest.raises(TypeError) as raised:
        Unchecked(anything=1, numbers=[], described=2, tensor="text", mode="b")
    assert str(raised.value).splitlines() == [
        "described: expected str, found 2 (int)",
        "mode: expected 'a', found 'b' (str)",
        "tensor: expected Tensor or int, found 'text' (str)",
    ]


def test_a_literal_beside_a_class_takes_either() -> None:
    class Sized(TensorSchema):
        size: Literal["auto"] | int

    Sized(size="auto")
    Sized(size=3)
    with pytest.raises(TypeError, match=r"size: expected 'auto' or int, found 'otto' \(str\)"):
        Sized(size="otto")


def test_an_annotation_may_be_changed_by_a_subclass() -> None:
    class Base(TensorSchema):
        x: Annotated[Tensor, TensorShape("n")]
        y: Annotated[Tensor, TensorShape("n")]

    class Child(Base):
        x: Annotated[Tensor, TensorShape("n", 2)]

    Base(x=torch.zeros(1), y=torch.zeros(1))
    Child(x=torch.zeros(1, 2), y=torch.zeros(1))
    with pytest.raises(SchemaError, match="x: expected shape"):
        Child(x=torch.zeros(1), y=torch.zeros(1))


def test_a_class_is_compiled_at_first_use_and_once() -> None:
    class Lazy(TensorSchema):
        x: int

    Lazy.__annotations__["x"] = "int | None"
    Lazy()
    Lazy.__annotations__["x"] = "int"
    Lazy()


WITHOUT_TORCH = """
import sys
from typing import Annotated, Any, Literal
from triptych.schemas import TensorSchema, TensorShape, compile_schema, json_schema, tagged_union

class Written(TensorSchema):
    type: Literal["written"]
    x: Annotated[Any, TensorShape("n", "m//2", dtype="float")]

Compiled = compile_schema("Compiled", {"type": "compiled", "x": ["n", 3]})
union = tagged_union("type", Written, Compiled)
json_schema(union)
union(type="compiled", x=[[1, 2, 3]])
assert not {"torch", "numpy", "pydantic"} & sys.modules.keys()
import torch
union(type="compiled", x=torch.zeros(2, 3))
"""


def test_schemas_need_no_torch_and_know_its_tensors_when_it_comes() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
