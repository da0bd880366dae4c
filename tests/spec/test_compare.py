"""Where two specs differ: values, what only one says, and the order of what runs one after the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych.spec.catalog import catalog, load_named
from triptych.spec.compare import differences
from triptych.spec.document import Tree, parse_document


def tree(text: str, file: str = "one.yaml") -> Tree:
    return parse_document(text, file=file)


def found(left: str, right: str) -> dict[str, tuple[object, object]]:
    """Values of both sides by path; `...` where a side says nothing."""
    said = differences(tree(left), tree(right, "other.yaml"))
    return {d.path: tuple(... if side is None else side.value for side in (d.left, d.right)) for d in said}  # type: ignore[misc]


@pytest.mark.parametrize("name", list(catalog()))
def test_a_spec_differs_nowhere_from_itself(name: str) -> None:
    assert differences(load_named(name)[1], load_named(name)[1]) == []


@pytest.mark.parametrize(
    ("left", "right", "wanted"),
    [
        ("a: 1", "a: 1", {}),
        ("a: 1", "a: 1.0", {"a": (1, 1.0)}),
        ("a: 1", "a: true", {"a": (1, True)}),
        ("a: .nan", "a: .nan", {}),
        ("a: [1, 2]", "a: [2, 1]", {"a": ([1, 2], [2, 1])}),
        ("a: null", "b: 1", {"a": (None, ...), "b": (..., 1)}),
        ("a: null", "{}", {"a": (None, ...)}),
        ("a: {}", "a: {b: 1}", {"a": ({}, ...), "a.b": (..., 1)}),
        ("a: norm", "a: {use: norm}", {"a": ("norm", ...), "a.use": (..., "norm")}),
        ("a.b: 1", "a: {b: 2}", {"a.b": (..., 2)}),
        ("{}", "{}", {}),
    ],
)
def test_values_are_compared_one_by_one(left: str, right: str, wanted: dict[str, object]) -> None:
    assert found(left, right) == wanted


def test_each_side_has_its_place() -> None:
    (one,) = differences(tree("a: {b: 1}"), tree("\na:\n  b: 2\n", "other.yaml"))
    assert one.left is not None
    assert one.right is not None
    assert (str(one.left.place), str(one.right.place)) == ("one.yaml:1:8", "other.yaml:3:6")


def test_sections_stay_together() -> None:
    assert [*found("a: {x: 1}\nb: {x: 1}", "c: 1\nb: {y: 1}\na: {y: 1}")] == ["a.x", "a.y", "b.x", "b.y", "c"]


def test_the_order_of_branches_and_steps_is_a_difference_and_that_of_other_keys_is_none() -> None:
    one, other = "{norm: a, mixer: b}", "{mixer: c}"
    swapped = {"blocks.layer.(order)": (["mix", "ffn"], ["ffn", "mix"])}
    left, right = f"blocks: {{layer: {{mix: {one}, ffn: {other}}}}}", f"blocks: {{layer: {{ffn: {other}, mix: {one}}}}}"
    assert found(left, right) == swapped
    assert found(left.replace("blocks", "parts"), right.replace("blocks", "parts")) == {}
    assert found("projectors: {image: {a: x, b: y}}", "projectors: {image: {b: y, a: x}}").keys() == {
        "projectors.image.(order)"
    }


def test_what_only_one_has_does_not_change_an_order() -> None:
    assert found("blocks: {l: {a: x, b: y}}", "blocks: {l: {c: z, a: x, d: w, b: y}}").keys() == {
        "blocks.l.c",
        "blocks.l.d",
    }
    assert found("blocks: {l: {a: x, like: m}}", "blocks: {l: {like: m, a: x}}") == {}


leaves = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab.=", max_size=3) | st.lists(st.integers(0, 2))
trees = st.dictionaries(
    st.text("ab.", max_size=2),
    st.recursive(leaves, lambda inner: st.dictionaries(st.text("ab", max_size=1), inner, max_size=3), max_leaves=6),
    max_size=4,
)


def planted(value: object) -> object:
    return Tree({key: planted(item) for key, item in value.items()}) if isinstance(value, dict) else value


@given(left=trees, right=trees)
def test_differences_are_those_of_the_mappings_and_the_same_from_the_other_side(
    left: dict[str, object], right: dict[str, object]
) -> None:
    one, other = planted(left), planted(right)
    assert isinstance(one, Tree)
    assert isinstance(other, Tree)
    there, back = differences(one, other), differences(other, one)
    assert bool(there) == (repr(sorted_(left)) != repr(sorted_(right)))
    assert sorted((d.path, repr(d.left), repr(d.right)) for d in there) == sorted(
        (d.path, repr(d.right), repr(d.left)) for d in back
    )


def sorted_(value: object) -> object:
    return sorted((key, sorted_(item)) for key, item in value.items()) if isinstance(value, dict) else value
