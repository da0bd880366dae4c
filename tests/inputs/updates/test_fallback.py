"""Targets that the prompt's tokens cut differently are found in its text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend

from tests.inputs.small_tokenizers import SPECIAL, byte_fallback, byte_level
from triptych.errors import PromptUpdateError
from triptych.inputs.tokenizer import ByteTokenizer, TextTokenizer
from triptych.inputs.updates import (
    AppliedUpdates,
    PromptIndexTargets,
    PromptInsertion,
    PromptReplacement,
    PromptUpdate,
    apply_prompt_updates,
    bind_updates,
)

IMAGE, PAD = SPECIAL.index("<image>"), SPECIAL.index("<pad>")
PLAIN = TextTokenizer(byte_level(), named={})


def applied(
    text: str, *updates: PromptUpdate, tokenizer: TextTokenizer = PLAIN, by_piece: bool = False, **counts: int
) -> AppliedUpdates:
    bound = bind_updates(updates, counts, tokenizer=tokenizer)
    return apply_prompt_updates(tokenizer.encode(text), bound, tokenizer=tokenizer, by_piece=by_piece)


def items(found: AppliedUpdates, modality: str = "image") -> list[tuple[int, int]]:
    """Where the tokens of each item stand, which must be those that it has."""
    for one in found.placeholders[modality]:
        assert found.token_ids[one.start_idx : one.start_idx + one.length] == one.tokens
    return [(one.start_idx, one.length) for one in found.placeholders[modality]]


@pytest.mark.parametrize("make", [byte_level, byte_fallback])
@pytest.mark.parametrize("by_piece", [False, True])
def test_a_target_split_by_tokenisation_is_found_in_the_text(make: Callable[[], Backend], by_piece: bool) -> None:
    tokenizer = TextTokenizer(make(), named={})
    prompt, target = tokenizer.encode("the fox the dog"), tokenizer.encode_bare("fox the d")
    update = PromptReplacement("image", target, [IMAGE] * 3)
    assert not any(prompt[i : i + len(target)] == target for i in range(len(prompt)))
    found = applied("the fox the dog", update, tokenizer=tokenizer, by_piece=by_piece, image=1)
    assert found.used_fallback
    assert found.token_ids[0] == tokenizer.token_id("<s>")
    assert found.token_ids.count(IMAGE) == 3
    assert tokenizer.decode_whole(found.token_ids).replace(" ", "") == "<s>the<image><image><image>og"
    assert items(found) == [(found.token_ids.index(IMAGE), 3)]


def test_text_that_the_tokens_find_is_not_encoded_anew() -> None:
    found = applied("the<image>fox", PromptReplacement("image", [IMAGE], [PAD, PAD]), image=1)
    assert not found.used_fallback
    assert items(found) == [(found.token_ids.index(PAD), 2)]


def test_a_fallback_that_is_forbidden_or_has_no_tokenizer_is_an_error_that_says_so() -> None:
    bound = bind_updates([PromptReplacement("image", "ox th", [IMAGE])], {"image": 1}, tokenizer=PLAIN)
    prompt = PLAIN.encode("the fox the dog")
    with pytest.raises(PromptUpdateError, match=r"\('ox th'\)\n.*'<s>the fox the dog'.* allow_fallback is off; "):
        apply_prompt_updates(prompt, bound, tokenizer=PLAIN, allow_fallback=False)
    with pytest.raises(
        PromptUpdateError, match="its text is not searched, as no tokenizer is given; is the placeholder"
    ):
        apply_prompt_updates(prompt, bound)
    assert apply_prompt_updates(prompt, bound, tokenizer=PLAIN).used_fallback


@pytest.mark.parametrize("by_piece", [False, True])
def test_items_that_stand_in_another_order_come_in_item_order(by_piece: bool) -> None:
    targets = [PLAIN.encode_bare(text) for text in ("ox th", "he qu")]
    update = PromptReplacement("image", lambda item: targets[item], lambda item: [IMAGE, PAD, IMAGE][: item + 1])
    found = applied("the quick fox the dog", update, by_piece=by_piece, image=2)
    assert found.used_fallback
    (later, _), (earlier, _) = items(found)
    assert earlier < later
    assert PLAIN.decode_whole(found.token_ids) == "<s>t<image><pad>ick f<image>e dog"


def test_content_that_its_text_does_not_give_again_is_told_and_kept_by_piece() -> None:
    letters = [PLAIN.encode_bare(letter)[0] for letter in "the"]
    update = PromptReplacement("image", "ox th", letters)
    assert PLAIN.encode_bare("the") != letters
    with pytest.raises(
        PromptUpdateError, match=r"^image\[0\]: its content \[.*\] is encoded to other tokens; encode the prompt by p"
    ):
        applied("a fox the dog", update, image=1)
    found = applied("a fox the dog", update, by_piece=True, image=1)
    assert items(found) == [(found.token_ids.index(letters[0]), 3)]


@pytest.mark.parametrize("text", ["<image> fox the dog", "a fox <image>fox the dog"])
def test_text_like_the_content_before_its_place_is_refused_and_told_apart_by_piece(text: str) -> None:
    update = PromptReplacement("image", "ox th", [IMAGE], allow_extra=True)
    with pytest.raises(
        PromptUpdateError, match=r"^image\[0\]: the text before its place has the text of its content to"
    ):
        applied(text, update, image=1)
    found = applied(text, update, by_piece=True, image=1)
    assert found.token_ids.count(IMAGE) == 2
    assert items(found) == [(len(found.token_ids) - 1 - found.token_ids[::-1].index(IMAGE), 1)]


def test_positions_are_those_of_the_text_too() -> None:
    behind = [PromptInsertion("image", PromptIndexTargets.prefix(PLAIN.encode_bare("<s>the q")), [IMAGE])]
    behind.append(PromptInsertion("video", PromptIndexTargets.end(), [IMAGE, IMAGE]))
    found = applied("the quick fox", *behind, image=1, video=1)
    assert found.used_fallback
    assert PLAIN.decode_whole(found.token_ids) == "<s>the q<image>uick fox<image><image>"
    assert items(found, "video") == [(len(found.token_ids) - 2, 2)]


def test_items_without_a_place_in_the_text_and_targets_left_over_in_it_fail() -> None:
    update = PromptReplacement("image", "ox th", [IMAGE])
    with pytest.raises(PromptUpdateError, match=r"^image\[1\]: its target .* stands 1 time in .*\n.*searched too; "):
        applied("the fox the dog", update, image=2)
    with pytest.raises(PromptUpdateError, match=r"^image: its target .*\('ox th'\) is left 1 more time in the prompt"):
        applied("the fox the fox the dog", update, image=1)


def test_empty_content_has_no_place_in_the_text_either() -> None:
    for by_piece in (False, True):
        found = applied("the fox the dog", PromptReplacement("image", "ox th", []), by_piece=by_piece, image=1)
        assert PLAIN.decode_whole(found.token_ids) == "<s>the fe dog"
        assert items(found) == []


WORDS = st.text("abx", max_size=4)


@given(words=st.lists(WORDS, min_size=2, max_size=5), by_piece=st.booleans())
def test_by_text_the_prompt_is_that_by_tokens_where_text_and_tokens_agree(words: list[str], by_piece: bool) -> None:
    class Marked(ByteTokenizer):
        """Bytes, but that '#' in a prompt is 200, which decodes as '#' does: tokens differ, text agrees."""

        def decode_whole(self, token_ids: object) -> str:
            return super().decode_whole([35 if token == 200 else token for token in token_ids])  # type: ignore[attr-defined]

    tokenizer, text = Marked(256), "#".join(words)
    update = PromptReplacement("image", [35], lambda item: [67 + item] * (item + 1))
    bound = bind_updates([update], {"image": len(words) - 1})
    by_tokens = apply_prompt_updates(tokenizer.encode(text), bound)
    prompt = [200 if token == 35 else token for token in tokenizer.encode(text)]
    found = apply_prompt_updates(prompt, bound, tokenizer=tokenizer, by_piece=by_piece)
    assert found.used_fallback
    assert (found.token_ids, found.placeholders) == (by_tokens.token_ids, by_tokens.placeholders)
