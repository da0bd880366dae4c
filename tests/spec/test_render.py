"""What `show` prints reads back as an equal tree, and says where each value came from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.spec.catalog import catalog, load_named
from triptych.spec.document import Tree, parse_document
from triptych.spec.merge import load_tree
from triptych.spec.render import render


def same(a: Any, b: Any) -> bool:
    """Equal in value, type and order."""
    return bool(a == b) and repr(a) == repr(b)


@pytest.mark.parametrize("name", catalog())
def test_every_registered_spec_reads_back_equal(name: str) -> None:
    tree = load_named(name)[1]
    assert same(parse_document(render(tree), file="shown.yaml"), tree)


def test_a_shown_spec_is_a_spec_without_bases(tmp_path: Any) -> None:
    tree = load_named("gemma2")[1]
    (tmp_path / "shown.yaml").write_text(render(tree), encoding="utf-8")
    assert same(load_tree(tmp_path / "shown.yaml"), tree)


def test_each_value_stands_beside_its_origin() -> None:
    lines = render(load_named("gemma2")[1]).splitlines()
    (softcap,) = [line for line in lines if line.strip().startswith("softcap: =config.attn_logit")]
    assert softcap.split("#")[1].strip().startswith("gemma2.yaml:")
    (theta,) = [line for line in lines if line.strip().startswith("theta:")]
    assert theta.split("#")[1].strip().startswith("llama.yaml:")
    (offset,) = [line for line in lines if line.strip().startswith("offset:")]
    assert offset.split("#")[1].strip().startswith("gemma.yaml:")


ODD = [
    *("1e5", "1e-5", "1.e5", ".5", "+1", "010", "0x1f", "1_000", "1:30", "yes", "on", "null", "~", "", "true", ".inf"),
    *("a: b", "a #b", "# a", "- a", "[a", "{a", "a, b", "'", '"', "%a", "@a", "`a", "!a", "&a", "*a", "|", ">", "?"),
    *(" a", "a ", "a\nb", "a\tb", "a\r\nb", "\x85", "\u2028", "é", "\U0001f600", "...", "---", "<<", "=config.x"),
    *("x" * 20_000, "2001-01-01", "1e400", "9" * 30, "layers.{i}", "{q,k,v}"),
]


@pytest.mark.parametrize("value", [*ODD, 1e-5, 1e300, float("inf"), 2**53 - 1, -0.0, True, None, [], [[1], ["1e5"]]])
def test_text_that_looks_like_something_else_stays_text(value: Any) -> None:
    for tree in (Tree({"a": value, "z": 1}), Tree({"a": Tree({"b": value, "c": Tree()}), "z": 1})):
        assert same(parse_document(render(tree), file="shown.yaml"), tree)


@pytest.mark.parametrize("key", [key for key in ODD if len(key) < 100 and key != "<<"])
def test_keys_that_look_like_something_else_stay_keys(key: str) -> None:
    tree = Tree({key: 1, f"{key} more": Tree({key: 2})})
    assert same(parse_document(render(tree), file="shown.yaml"), tree)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), max_size=20)
SCALARS = st.one_of(TEXTS, st.integers(-(2**53) + 1, 2**53 - 1), st.floats(allow_nan=False), st.booleans(), st.none())
TREES = st.recursive(
    st.dictionaries(TEXTS.filter(lambda key: key != "<<"), SCALARS | st.lists(SCALARS, max_size=3), max_size=4).map(
        Tree
    ),
    lambda inner: st.dictionaries(TEXTS.filter(lambda key: key != "<<"), inner | SCALARS, max_size=4).map(Tree),
    max_leaves=10,
)


@given(TREES)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_any_tree_reads_back_equal(tree: Tree) -> None:
    assert same(parse_document(render(tree), file="shown.yaml"), tree)
