"""Text as it comes: whole characters, and together the text of the whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inputs.small_tokenizers import TEXTS, byte_fallback, byte_level
from triptych.inputs.detokenizer import UNKNOWN, Detokenizer
from triptych.inputs.tokenizer import ByteTokenizer, TextTokenizer, Tokenizer

FALLBACK, LEVEL = (TextTokenizer(make(), named={}) for make in (byte_fallback, byte_level))
TOKENIZERS = pytest.mark.parametrize(
    "tokenizer", [LEVEL, FALLBACK, ByteTokenizer(256)], ids=["level", "fallback", "bytes"]
)


def pieces(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    stream = Detokenizer(tokenizer)
    return [*map(stream.push, ids), stream.flush()]


@TOKENIZERS
@given(text=st.text(max_size=40))
def test_the_pieces_are_the_text_of_the_whole_and_hold_no_half_character(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    found = pieces(tokenizer, ids)
    assert "".join(found) == tokenizer.decode(ids)
    assert UNKNOWN in text or not any(UNKNOWN in piece for piece in found)


@TOKENIZERS
@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_text_comes_as_soon_as_it_is_whole(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    stream, shown = Detokenizer(tokenizer), ""
    for number, token in enumerate(ids, 1):
        shown += stream.push(token)
        whole = tokenizer.decode(ids[:number])
        assert whole.endswith(UNKNOWN) or shown == whole


def test_a_character_of_four_bytes_comes_with_its_last() -> None:
    assert pieces(ByteTokenizer(256), [*"a🦊b".encode()]) == ["a", "", "", "", "🦊", "b", ""]


@given(ids=st.lists(st.integers(0, 299), max_size=60))
def test_broken_bytes_are_shown_at_the_latest_at_the_end(ids: list[int]) -> None:
    tokenizer = ByteTokenizer(300)
    assert "".join(pieces(tokenizer, ids)).count(UNKNOWN) >= bool(tokenizer.decode(ids).count(UNKNOWN))


def test_broken_bytes_do_not_hold_text_back_for_ever() -> None:
    stream = Detokenizer(ByteTokenizer(300))
    assert any(stream.push(299) for _ in range(20))
