"""Tekken files: words are joined by rank, special tokens come first, and what is no such file is told."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.errors import CheckpointError
from triptych.inputs.tokenizer import load_tokenizer

JOINED = [
    *(
        b"ab",
        b"ba",
        b"aa",
        b"abab",
        b"aba",
        b" a",
        b"\xc3\xa9",
        b"aaa",
        b"aaaa",
        b"bab",
        b"  ",
        b"\n\n",
        b"<s>",
        b"b\xc3",
    ),
    *(b"\xf0\x9f", b"\xf0\x9f\x99", b"\xf0\x9f\x99\x82", b" ab", b"cab", b"ca", b"bcb"),
]
UNUSED = [b"never", b"used"]
TOKENS = [*(bytes([byte]) for byte in range(256)), *JOINED, *UNUSED]
SPECIAL = ["<unk>", "<s>", "</s>", "[INST]", "[AUDIO]"]
COUNT = 8  # of special tokens, three of them without a name
PATTERN = r"[a-z\u00e9]+| ?[^\sa-z]+|\s+"


def content() -> dict[str, Any]:
    vocab = [
        {"rank": n, "token_bytes": base64.b64encode(each).decode(), "token_str": None} for n, each in enumerate(TOKENS)
    ]
    return {
        "config": {
            "pattern": PATTERN,
            "num_vocab_tokens": len(TOKENS),
            "default_vocab_size": COUNT + 256 + len(JOINED),
            "default_num_special_tokens": COUNT,
            "version": "v7",
        },
        "vocab": vocab,
        "special_tokens": [{"rank": n, "token_str": t, "is_control": True} for n, t in enumerate(SPECIAL)],
    }


def load(folder: Path, given: object) -> Any:
    (folder / "tekken.json").write_text(given if isinstance(given, str) else json.dumps(given))
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(tmp_path_factory.mktemp("tekken"), content())


def joined(word: bytes) -> list[int]:
    """The ids of a word, by the rule: the neighbours whose bytes are of the lowest rank, the first of several."""
    ranks = {each: rank for rank, each in enumerate(TOKENS[: 256 + len(JOINED)])}
    pieces = [bytes([byte]) for byte in word] if word not in ranks else [word]
    while True:
        pairs = [(ranks[a + b], at) for at, (a, b) in enumerate(pairwise(pieces)) if a + b in ranks]
        if not pairs:
            return [COUNT + ranks[piece] for piece in pieces]
        _, at = min(pairs)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


@settings(max_examples=300, deadline=None)
@given(st.text("aabbc \n\u00e9\U0001f642<>s.", max_size=30))
def test_a_text_is_cut_into_words_and_these_are_joined_by_rank(tokenizer: Any, text: str) -> None:
    text = text.replace("<s>", "")
    wanted = [token for word in re.findall(PATTERN, text) for token in joined(word.encode())]
    assert tokenizer.encode_bare(text) == wanted
    assert tokenizer.decode(wanted) == text


def test_special_tokens_come_first_and_a_text_begins_with_one(tokenizer: Any) -> None:
    assert tokenizer.encode("[AUDIO]") == [1, 4]
    assert tokenizer.encode_bare("<s>[INST]ab[AUDIO]</s><SPECIAL_6>") == [1, 3, 8 + 256, 4, 2, 6]
    assert [tokenizer.token_id(text) for text in ("[AUDIO]", "<SPECIAL_7>", "[TRANSCRIBE]")] == [4, 7, None]
    assert tokenizer.decode([1, 3, 8 + 256, 4]) == "ab"
    assert tokenizer.named == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def test_a_tokenizer_json_beside_it_comes_first(tmp_path: Path) -> None:
    load(tmp_path, content())
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: is not a tokenizer"):
        load_tokenizer(tmp_path)


def test_bytes_that_are_no_text_decode_to_a_sign_for_that(tokenizer: Any) -> None:
    assert tokenizer.decode([8 + 0xF0, 8 + 0x61]) == "\ufffda"


def change(at: str, value: object) -> Callable[[dict[str, Any]], object]:
    def changed(given: dict[str, Any]) -> object:
        *path, last = at.split(".")
        place: Any = given
        for name in path:
            place = place[int(name) if name.isdecimal() else name]
        place[int(last) if last.isdecimal() else last] = value
        return given

    return changed


def test_the_special_tokens_of_an_old_file_are_known(tmp_path: Path) -> None:
    given = content()
    del given["special_tokens"]
    given["config"] |= {"version": "v3", "default_num_special_tokens": 24, "default_vocab_size": 24 + len(TOKENS)}
    found = load(tmp_path, given)
    assert found.encode("[INST][IMG][IMG_BREAK][IMG_END][/INST]</s>") == [1, 3, 10, 12, 13, 4, 2]
    assert [found.token_id(text) for text in ("<pad>", "<SPECIAL_20>", "<SPECIAL_24>")] == [11, 20, None]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda _: "[1]", "a JSON mapping is wanted"),
        (
            lambda given: change("config.version", "v11")(change("special_tokens", None)(given)),
            "names no special_tokens, which only versions v1, v2, v3, v7 may leave out",
        ),
        (change("config.pattern", 5), r"config\.pattern: Input should be a valid string"),
        (change("config.pattern", "(" * 9), "is not a tokenizer"),
        (change("config.default_vocab_size", 2**21), r"config\.default_vocab_size: Input should be less than"),
        (change("config.default_vocab_size", 9_999), "every rank below 9991 is needed once"),
        (change("vocab.3.token_bytes", "*"), "token_bytes are to be base64"),
        (change("vocab.3.token_bytes", "AAAA"), "and every single byte"),
        (change("vocab.3.token_bytes", "A" * 2000), r"vocab\.3\.token_bytes: String should have at most 1024"),
        (change("vocab.3.rank", -1), r"vocab\.3\.rank: Input should be greater"),
        (change("vocab.270.rank", 3), r"every rank below \d+ is needed once|every single byte"),
        (change("special_tokens.1.token_str", "<unk>"), "special_tokens are to have 8 texts and ranks"),
        (change("special_tokens.1.rank", 900), "special_tokens are to have 8 texts and ranks"),
    ],
)
def test_what_is_no_tekken_file_is_told(broken: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"tekken\.json: .*({message})"):
        load(tmp_path, broken(content()))


def test_a_word_that_is_a_token_is_one_though_nothing_joins_to_it(tokenizer: Any) -> None:
    whole = COUNT + TOKENS.index(b"bcb")
    assert tokenizer.encode_bare("bcb") == joined(b"bcb") == [whole]
    assert whole not in tokenizer.encode_bare("bcbc")
