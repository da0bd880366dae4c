"""Schemas in YAML: the same class, and every mistake of a document with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
import yaml

from triptych.errors import SchemaError
from triptych.schemas import TensorSchema, TensorShape, compile_schema
from triptych.schemas.schema import plan_of
from triptych.spec.document import read_document

WHOLE = """
type: pixel_values
pixel_values: [bn, 3, h, w]
patches: {shape: [..., p, "h//14"], dynamic: [p], dtype: [float, int8]}
sizes: {shape: [bn, 2], dtype: int, optional: true}
count: {shape: [], dtype: int, min: 1, max: 8}
mode: {literal: [crop, 3, true], optional: true}
gone: null
"""


class Whole(TensorSchema):
    type: Literal["pixel_values"]
    pixel_values: Annotated[Any, TensorShape("bn", 3, "h", "w")]
    patches: Annotated[Any, TensorShape(..., "p", "h//14", dynamic_dims={"p"}, dtype=("float", "int8"))]
    sizes: Annotated[Any, TensorShape("bn", 2, dtype="int")] | None
    count: Annotated[Any, TensorShape(dtype="int", min=1, max=8)]
    mode: Literal["crop", 3, True] | None


def told(text: str) -> list[str]:
    with pytest.raises(SchemaError) as raised:
        compile_schema("Odd", yaml.safe_load(text))
    return str(raised.value).splitlines()


def test_yaml_is_compiled_to_the_same_class() -> None:
    compiled = compile_schema("Whole", yaml.safe_load(WHOLE))
    assert issubclass(compiled, TensorSchema)
    assert compiled.__name__ == "Whole"
    assert plan_of(compiled) == plan_of(Whole)
    assert list(plan_of(compiled).fields) == list(plan_of(Whole).fields)


def test_what_is_compiled_validates() -> None:
    compiled = compile_schema("Pixels", yaml.safe_load("{type: pixels, x: [n, 3], n: {shape: [], min: 1}}"))
    assert compiled(type="pixels", x=torch.zeros(2, 3), n=2)["x"].shape == (2, 3)
    with pytest.raises(SchemaError) as raised:
        compiled(type="pixel", x=torch.zeros(2, 4), n=0)
    assert str(raised.value).splitlines() == [
        "type: expected 'pixels', found 'pixel' (str); did you mean 'pixels'?",
        "x: expected shape (n, 3), found (2, 4): dim 1 must be 3, not 4",
        "n: expected at least 1, found 0",
    ]


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("{shpae: [n]}", "x.shpae: a field has no such key; did you mean 'shape'?"),
        ("{optional: true}", "x: a field says either its shape or which literal it holds"),
        ("{shape: [n], literal: a}", "x: a field says either its shape or which literal it holds"),
        ("{literal: a, dtype: int}", "x.dtype: this belongs to a shape, and the field is a literal"),
        ("{literal: []}", "x.literal: a literal is at least one word or whole number"),
        ("{literal: [a, 1.5]}", "x.literal[1]: a literal is a word, a whole number, true or false, not 1.5 (float)"),
        ("1.5", "x: a literal is a word, a whole number, true or false, not 1.5 (float)"),
        ("{shape: n}", "x.shape: a shape is a list of dims, not 'n' (str)"),
        ("{shape: [n, 1.5]}", "x.shape[1]: a dim is a whole number or a string, not 1.5 (float)"),
        ("[n, [3]]", "x[1]: a dim is a whole number or a string, not [3] (list)"),
        ("[n, ...]", "x[1]: '...' stands for leading dims, so it comes first"),
        ("['n%2']", "x[0]: 'n%2' is no dim; a whole number, a symbol, '...' in first place, or arithmetic"),
        ("{shape: [n], dtype: flaot}", "x.dtype: unknown dtype 'flaot'; did you mean 'float'?"),
        ("{shape: [bnp], dynamic: [bn]}", "x.dynamic: 'bn' is no symbol among the dims; did you mean 'bnp'?"),
        ("{shape: [n], dynamic: n}", "x.dynamic: expected a set or a list of symbols, found 'n' (str)"),
        ("{shape: [n], optional: 'yes'}", "x.optional: expected true or false, found 'yes' (str)"),
        ("{shape: [n], min: 3, max: 2}", "x.min: nothing is at least 3 and at most 2"),
        ("{shape: [n], max: a}", "x.max: a bound is a number, not 'a' (str)"),
    ],
)
def test_a_mistake_is_told_by_its_path_and_what_would_do(entry: str, line: str) -> None:
    (found,) = told(f"x: {entry}")
    assert found.startswith(f"Odd.{line}")


@pytest.mark.parametrize("name", ["validate", "a-b", "1", "''"])
def test_a_field_has_a_name_that_can_be_asked_for(name: str) -> None:
    (line,) = told(f"{name}: [n]")
    assert line.endswith("; call it otherwise")


def test_what_is_of_another_type_is_a_type_error() -> None:
    for tree in ("[n]", "x: [1.5]", "x: {shape: n}", "x: {literal: [1.5]}", "x: {shape: [n], optional: 1}"):
        with pytest.raises(TypeError):
            compile_schema("Odd", yaml.safe_load(tree))
    assert told("[n]") == ["Odd: a schema is a mapping of fields, not list"]


def test_all_mistakes_of_a_document_are_told_at_once_each_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text("""\
validate: [n]
a: [n, -1]
b: {shape: [n, "m%2"], dtpye: int}
c: {shape: [n], dtype: itn, dynamic: [m]}
d: {literal: [x, 1.5]}
e: {optional: true}
f: [n]
""")
    with pytest.raises(SchemaError) as raised:
        compile_schema("Odd", read_document(file))
    found = [(str(p.place).removeprefix(f"{file}:"), p.path) for p in raised.value.problems]
    assert found == [
        ("1:1", "Odd.validate"),
        ("2:8", "Odd.a[1]"),
        ("3:24", "Odd.b.dtpye"),
        ("3:16", "Odd.b.shape[1]"),
        ("4:38", "Odd.c.dynamic"),
        ("4:24", "Odd.c.dtype"),
        ("5:18", "Odd.d.literal[1]"),
        ("6:4", "Odd.e"),
    ]
