"""Files with a row on each line: what is refused, in which words, and how much of one is in memory."""

from __future__ import annotations

import json
import tracemalloc
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych.errors import InputError
from triptych.inputs import lines as lines_module
from triptych.inputs.lines import Fields, Lines

TEXT = Fields(["text"], ["pair"], written=["embedding"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def written(folder: Path, *rows: str | bytes) -> Lines:
    file = folder / "in.jsonl"
    file.write_bytes(b"".join((row.encode() if isinstance(row, str) else row) + b"\n" for row in rows))
    return Lines(file)


def mistakes(lines: Lines, fields: Fields = TEXT) -> list[str]:
    with pytest.raises(InputError) as caught:
        lines.check(fields)
    return [line.removeprefix(str(lines.path)) for line in str(caught.value).splitlines()]


def test_every_mistake_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    rows = [
        '{"text": "fine", "id": 7}',
        '{"text": "no end}',
        "",
        '["a", "list"]',
        '{"txt": "misspelt"}',
        '{"text": 5}',
        '{"text": "a", "pair": null}',
        '{"text": "a", "embedding": [1]}',
        b'{"text": "\xff"}',
        '{"text": "\\ud800"}',
        '{"text": "a", "n": NaN}',
        '{"text": "a", "n": 1e999}',
        "[" * 100_000,
        '{"text": "fine", "pair": "too"}',
    ]
    assert mistakes(written(tmp_path, *rows)) == [
        ':2:10: is no JSON: Unterminated string starting at; found \'{"text": "no end}\'',
        ":3:1: is no JSON: Expecting value; found ''",
        ":4:1: an object is wanted, not ['a', 'list']",
        ":5:1: text: is not there; did you mean 'txt'?",
        ":6:1: text: a text is wanted, not 5",
        ":7:1: pair: a text is wanted, not None",
        ":8:1: embedding: is there already, and is what would be written",
        ":9:1: is not UTF-8 text",
        ":10:1: holds half of a character (a lone surrogate)",
        ":11:1: is no JSON: NaN is no number of JSON",
        ":12:1: is no JSON: '1e999' is more than a number can hold",
        ":13:1: is nested too deep",
    ]


def test_of_very_many_mistakes_the_first_are_told_and_the_others_counted(tmp_path: Path) -> None:
    found = mistakes(written(tmp_path, *["{}"] * 1500))
    assert len(found) == 101
    assert found[99].startswith(":100:1: ")
    assert found[-1] == "... and 1,400 more"


def test_a_file_without_line_ends_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "LONGEST", 100)
    assert mistakes(written(tmp_path, "{}", "x" * 101)) == [":2:1: is longer than 100 bytes; is this a file of lines?"]


@pytest.mark.parametrize("name", ["nowhere.jsonl", ""])
def test_what_is_no_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; one is wanted that can be read more than once"):
        Lines(tmp_path / name).check(TEXT)


def test_a_mark_at_the_beginning_and_ends_of_two_bytes_are_no_part_of_a_row(tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "b"}')
    assert Lines(file).check(TEXT).rows == 2
    assert [*Lines(file).rows()] == [(1, {"text": "a"}), (2, {"text": "b"})]
    file.write_bytes(b"\xef\xbb\xbfa\r\n\n c ")
    assert [row["text"] for _, row in Lines(file, plain="text").rows()] == ["a", "", " c "]


@given(rows=st.lists(st.fixed_dictionaries({"text": TEXTS}, optional={"pair": TEXTS, "n": st.integers() | st.none()})))
def test_what_was_written_is_read_after_any_number_of_rows(
    rows: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = written(tmp_path_factory.mktemp("a"), *map(json.dumps, rows))
    checked = lines.check(TEXT)
    assert (checked.rows, checked.digest) == (len(rows), sha256(lines.path.read_bytes()).hexdigest())
    for after in range(len(rows) + 1):
        assert [*lines.rows(after=after)] == [*enumerate(rows, 1)][after:]


@given(texts=st.lists(TEXTS.filter(lambda text: "\n" not in text and not text.endswith("\r"))))
def test_a_plain_line_is_a_text_as_it_stands(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("a") / "in.txt"
    file.write_bytes("".join(f"{text}\n" for text in ["first", *texts]).encode())
    lines = Lines(file, plain="text")
    assert lines.check(TEXT).rows == len(texts) + 1
    assert [row["text"] for _, row in lines.rows()] == ["first", *texts]


def test_a_large_file_is_checked_and_read_in_little_memory(tmp_path: Path) -> None:
    lines = written(tmp_path, *(json.dumps({"text": "x" * 1000}) for _ in range(20_000)))
    tracemalloc.start()
    try:
        assert lines.check(TEXT).rows == sum(1 for _ in lines.rows()) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines.path.stat().st_size > 20_000_000
    assert peak < 1_000_000
