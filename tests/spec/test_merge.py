"""A spec on top of its bases: what merges, what starts afresh, and where each value came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.errors import Place, SpecError
from triptych.spec.document import Tree, parse_document
from triptych.spec.merge import load_tree, merge


def tree(text: str, file: str = "f.yaml") -> Tree:
    return parse_document(text, file=file)


@pytest.mark.parametrize(
    ("base", "child", "wanted"),
    [
        ("{a: 1, b: 2}", "{b: 3, c: 4}", {"a": 1, "b": 3, "c": 4}),
        ("{a: {b: {c: 1, d: 2}}}", "{a: {b: {d: 3}}}", {"a": {"b": {"c": 1, "d": 3}}}),
        ("{a: [1, 2, 3]}", "{a: [4]}", {"a": [4]}),  # lists are replaced
        ("{a: {b: 1}}", "{a: 2}", {"a": 2}),
        ("{a: 1}", "{a: {b: 2}}", {"a": {"b": 2}}),
        ("{a: {b: 1}}", "{a: null}", {"a": None}),  # null deletes, and stays to say so
        ("{a: null}", "{a: {b: 1}}", {"a": {"b": 1}}),
        ("{p: {use: x, eps: 1}}", "{p: {eps: 2}}", {"p": {"use": "x", "eps": 2}}),
        ("{p: {use: x, eps: 1}}", "{p: {use: x, more: 2}}", {"p": {"use": "x", "eps": 1, "more": 2}}),
        ("{p: {use: x, eps: 1}}", "{p: {use: y, more: 2}}", {"p": {"use": "y", "more": 2}}),  # another use: afresh
        ("{p: {use: x, eps: 1}}", "{p: {like: y}}", {"p": {"like": "y"}}),
        ("{p: {like: x, eps: 1}}", "{p: {like: z}}", {"p": {"like": "z"}}),
        ("{p: {width: 1}}", "{p: {spec: z}}", {"p": {"spec": "z"}}),
        ("{p: {q: {use: x, a: 1}, b: 2}}", "{p: {q: {use: y}}}", {"p": {"q": {"use": "y"}, "b": 2}}),
    ],
)
def test_mappings_merge_and_all_else_is_replaced(base: str, child: str, wanted: object) -> None:
    before, after = tree(base), tree(child)
    assert merge(before, after) == wanted
    assert (before, after) == (tree(base), tree(child)), "the trees that were merged stay as they were"


def test_the_order_is_the_bases_and_new_keys_come_last() -> None:
    found = merge(tree("{a: 1, b: 2, c: 3}"), tree("{d: 4, c: 5, a: 6}"))
    assert isinstance(found, Tree)
    assert list(found) == ["a", "b", "c", "d"]


OLD = "architectures: [Old]\nmodel_types: [old]\nparts:\n"
FAMILY = {
    "old": f"schema: 1\n{OLD}  norm: {{use: rms_norm, eps: 1}}\n  keep: {{use: rope}}\n",
    "middle": "base: old\nparts:\n  norm: {offset: 1}\n  more: {use: mlp}\n",
    "young": "base: middle\narchitectures: [Young]\nparts:\n  norm: {eps: 2}\n",
}


def written(folder: Path, **specs: str) -> Path:
    for name, text in specs.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_each_value_keeps_the_file_and_line_it_came_from_through_two_levels(tmp_path: Path) -> None:
    found = load_tree(written(tmp_path, **FAMILY) / "young.yaml")
    norm = found["parts"]["norm"]
    assert norm == {"use": "rms_norm", "eps": 2, "offset": 1}
    at = {key: (Path(place.file).stem, place.line, place.col) for key, place in norm.values_at.items()}
    assert at == {"use": ("old", 5, 15), "eps": ("young", 4, 15), "offset": ("middle", 3, 18)}
    assert Path(found["parts"].keys_at["keep"].file).stem == "old"
    assert Path(found["parts"].keys_at["more"].file).stem == "middle"


def test_what_a_family_answers_to_is_not_inherited(tmp_path: Path) -> None:
    folder = written(tmp_path, **FAMILY)
    assert load_tree(folder / "young.yaml")["architectures"] == ["Young"]
    assert "model_types" not in load_tree(folder / "young.yaml")
    assert "architectures" not in load_tree(folder / "middle.yaml")
    assert "base" not in load_tree(folder / "young.yaml")


def test_bases_in_a_list_are_merged_in_order(tmp_path: Path) -> None:
    folder = written(tmp_path, a="{x: 1, y: 1, z: 1}", b="{y: 2, z: 2}", c="{base: [a, b], z: 3}", d="base: []\nx: 1")
    assert load_tree(folder / "c.yaml") == {"x": 1, "y": 2, "z": 3}
    assert load_tree(folder / "d.yaml") == {"x": 1}


def test_a_registered_spec_goes_before_one_beside_the_file(tmp_path: Path) -> None:
    folder = written(tmp_path, llama="base: llama\nparts: {norm: {offset: 1}}", my="base: llama")
    assert "offset" not in load_tree(folder / "my.yaml")["parts"]["norm"]
    assert load_tree(folder / "llama.yaml")["parts"]["norm"]["offset"] == 1, "no cycle: that is another file"


def test_names_of_specs_beside_the_file_may_hold_dashes(tmp_path: Path) -> None:
    folder = written(tmp_path, **{"my-base": "x: 1", "child": "base: my-base"})
    assert load_tree(folder / "child.yaml") == {"x": 1}


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ({"my": "x: 1\nbase: my"}, r"my\.yaml:2:7: base: a cycle of bases: my -> my"),
        (
            {"my": "base: a", "a": "base: b", "b": "base: my"},
            r"b\.yaml:1:7: base: a cycle of bases: my -> a -> b -> my",
        ),
        ({"my": "base: [a, b]", "a": "{}", "b": "base: b"}, r"b\.yaml:1:7: base: a cycle of bases: my -> b -> b"),
        ({"my": "base: lama"}, r"my\.yaml:1:7: base: unknown spec 'lama'; did you mean 'llama'\?"),
        ({"my": "base: brotther", "brother": "{}"}, r"base: unknown spec 'brotther'; did you mean 'brother'\?"),
        (
            {"my": "base: [llama, nothing-like-it]"},
            r"my\.yaml:1:15: base: unknown spec 'nothing-like-it'; known: [a-z0-9_]+, ",
        ),
        ({"my": "base: 5"}, r"my\.yaml:1:7: base: a base is the name of a spec, not 5"),
        ({"my": "base: {a: b}"}, r"my\.yaml:1:7: base: a base is the name of a spec, not \{'a': 'b'\}"),
        ({"my": "base: [[a]]"}, r"my\.yaml:1:8: base: a base is the name of a spec, not \['a'\]"),
        ({"my": "base: ../my"}, r"my\.yaml:1:7: base: unknown spec '\.\./my'"),
        ({"my": "base: /etc/passwd"}, r"my\.yaml:1:7: base: unknown spec '/etc/passwd'"),
        ({"my": "base: a", "a": "- 1"}, r"a\.yaml:1:1: a spec is a mapping"),
        (
            {f"b{n}": f"base: b{n + 1}" for n in range(12)} | {"b12": "{}", "my": "base: b0"},
            r"b9\.yaml:1:7: base: more than 10 bases deep",
        ),
    ],
)
def test_bases_that_cannot_be_had_are_told_with_their_place(
    tmp_path: Path, specs: dict[str, str], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        load_tree(written(tmp_path, **specs) / "my.yaml")


def test_a_base_named_a_thousand_times_is_read_once(tmp_path: Path) -> None:
    tower = {f"b{n}": f"base: [{', '.join([f'b{n + 1}'] * 50)}]" for n in range(8)}
    assert load_tree(written(tmp_path, **tower, b8="x: 1") / "b0.yaml") == {"x": 1}


def test_a_link_to_itself_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(SpecError, match="Too many levels of symbolic links"):
        load_tree(written(tmp_path, my="base: loop") / "my.yaml")


def test_places_say_file_line_and_column() -> None:
    assert str(Place("f.yaml", 3, 5)) == "f.yaml:3:5"
    assert str(Place("override 'a=1'", 0, 0)) == "override 'a=1'"
