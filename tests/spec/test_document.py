"""A stranger's YAML: read within bounds, each mistake of form at its place."""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from triptych.errors import Place, SpecError
from triptych.spec.document import Items, Tree, locate, parse_document, read_document


def parsed(text: str) -> Tree:
    return parse_document(text, file="f.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", float("-inf")),
        ("+5", 5),
        ("-0", 0),
        ("9007199254740991", 2**53 - 1),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("on", "on"),
        ("no", "no"),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("'1'", "1"),
        ('"1e5"', "1e5"),
        ("=config.x ** 0.5", "=config.x ** 0.5"),
        ("=", "="),
        ("! 5", 5),
        ("&anchor 5", 5),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = parsed(f"a: {text}")["a"]
    assert (type(found), found) == (type(value), value)


def test_keys_are_text_whatever_they_look_like() -> None:
    assert list(parsed("1: a\nnull: b\ntrue: c\n1e5: d")) == ["1", "null", "true", "1e5"]


def test_every_key_value_and_item_knows_its_place() -> None:
    tree = parsed("a:\n  b: [1, {c: 2}]\n  # a comment\n  d: x")
    assert tree["a"].keys_at["d"] == Place("f.yaml", 4, 3)
    assert tree["a"].values_at["d"] == Place("f.yaml", 4, 6)
    assert isinstance(tree["a"]["b"], Items)
    assert tree["a"]["b"].places == [Place("f.yaml", 2, 7), Place("f.yaml", 2, 10)]
    assert locate(tree, ("a", "b", 1, "c")) == Place("f.yaml", 2, 14)
    assert locate(tree, ("a", "b", 1, "nowhere")) == Place("f.yaml", 2, 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"f\.yaml:3:1: duplicate key 'a'; it stands at line 1 already"),
        ("p: {x: 1, 'x': 2}", r"f\.yaml:1:11: duplicate key 'x'"),
        ("a: !!python/object/apply:os.system [ls]", r"f\.yaml:1:4: tag '!!python/object/apply:os.system'; .* plain"),
        ("a: !include x", r"f\.yaml:1:4: tag '!include'"),
        ("a: !!str 1", r"f\.yaml:1:4: tag '!!str'"),
        ("a: &x [1]\nb: *x", r"f\.yaml:2:4: an alias; write the value out"),
        ("&x [*x]", r"f\.yaml:1:5: an alias"),
        ("a: {<<: {b: 1}}", r"f\.yaml:1:5: a key is a plain word"),
        ("? [1, 2]\n: 3", r"f\.yaml:1:3: a key is a plain word"),
        ("a: 1\n---\nb: 2", r"f\.yaml:2:1: a second document; a spec is one"),
        ("a: 9007199254740992", r"f\.yaml:1:4: an integer of 2\*\*53 or more"),
        ("a: -" + "9" * 5000, r"f\.yaml:1:4: an integer of 2\*\*53 or more"),
        ("a: 1e400", r"f\.yaml:1:4: a number too large for a float"),
        ("a: [1, 2", r"f\.yaml:2:1: did not find expected ',' or '\]'"),
        ("a: b: c", r"f\.yaml:1:5: mapping values are not allowed"),
        ("a:\n\tb: 1", r"f\.yaml:2:1: found character that cannot start any token"),
        ("é: 1\nb: \x07", r"f\.yaml:2:4: control characters are not allowed \(#x0007\)"),
        ("a: \x00", r"f\.yaml:1:4: control characters"),
        ("a: \udcff", r"f\.yaml:1:1: not UTF-8 text \(character 3\)"),
        ("- a", r"f\.yaml:1:1: a spec is a mapping of keys to values, not \['a'\]"),
        ("hello", r"f\.yaml:1:1: a spec is a mapping .* not 'hello'"),
    ],
)
def test_mistakes_of_form_are_told_with_their_place(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"^{message}"):
        parsed(text)


def test_all_mistakes_of_form_are_told_at_once() -> None:
    with pytest.raises(SpecError) as raised:
        parsed("a: !x 1\nb: *c\na: 99999999999999999\nd: {e: 1, e: 2}")
    places = [(p.place.line, p.place.col) for p in raised.value.problems if p.place]
    assert places == [(1, 4), (2, 4), (3, 1), (3, 4), (4, 11)]


def test_what_was_wrong_before_a_file_broke_off_is_told_too() -> None:
    with pytest.raises(SpecError, match=r"(?s)f\.yaml:2:1: duplicate key 'a'.*f\.yaml:3:5: mapping values"):
        parsed("a: 1\na: 2\nb: c: d")


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? ", "{a: ", "[{b: "])
def test_a_file_of_brackets_is_refused_and_leaves_the_process_alive(opening: str) -> None:
    with pytest.raises(SpecError, match=r"f\.yaml:1:\d+: nested more than 40 deep"):
        parsed(opening * 100_000)


def test_a_file_of_aliases_that_would_explode_is_refused_in_no_time() -> None:
    laughs = "a0: &a0 [lol]\n" + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(30))
    began = time.process_time()
    with pytest.raises(SpecError, match=r"f\.yaml:2:10: an alias"):
        parsed(laughs)
    assert time.process_time() - began < 2


def test_an_empty_document_is_an_empty_tree() -> None:
    assert parsed("") == parsed("# nothing\n") == Tree()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfea\x00", r"spec\.yaml: not UTF-8 text \(byte 0\)"),
        (b"a: caf\xe9", r"spec\.yaml: not UTF-8 text \(byte 6\)"),
        (b"#" * 1_000_001, r"spec\.yaml: 1000001 bytes; a spec has at most 1000000"),
    ],
)
def test_files_that_are_no_text_or_too_long_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "spec.yaml").write_bytes(content)
    with pytest.raises(SpecError, match=message):
        read_document(tmp_path / "spec.yaml")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero")
def test_what_never_ends_is_refused_and_a_pipe_is_read(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^/dev/zero: it goes on and on; a spec has at most 1000000 bytes"):
        read_document(Path("/dev/zero"))
    os.mkfifo(tmp_path / "pipe")
    writer = Thread(target=lambda: (tmp_path / "pipe").write_text("schema: 1"))
    writer.start()
    assert read_document(tmp_path / "pipe") == {"schema": 1}
    writer.join()


def test_the_byte_that_is_no_text_is_counted_from_the_beginning_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_bytes(b"# long\r\n" * 10_000 + b"\xff")
    with pytest.raises(SpecError, match=r"not UTF-8 text \(byte 80000\)"):
        read_document(tmp_path / "spec.yaml")


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    for name, why in {"none.yaml": "No such file", "": "Is a directory", "loop.yaml": "Too many levels"}.items():
        with pytest.raises(SpecError, match=f"^{tmp_path / name}: {why}"):
            read_document(tmp_path / name)


def test_a_mark_of_byte_order_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_bytes(b"\xef\xbb\xbfschema: 1")
    assert read_document(tmp_path / "spec.yaml") == {"schema": 1}
