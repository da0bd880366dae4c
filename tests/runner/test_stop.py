"""Stop strings over text in pieces: held back while one could still come, then cut off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych.runner.stop import StopStrings


@pytest.mark.parametrize(
    ("stop", "pieces", "shown"),
    [
        (["END"], ["a", "E", "N", "D", "x"], ["a", "", "", ""]),
        (["END"], ["aE", "x"], ["a", "Ex"]),
        (["END"], ["EEND"], ["E"]),
        (["aab"], ["a", "a", "a", "b"], ["", "", "a", ""]),
        (["\n\n", "###"], ["one\n", "two#", "#", "\n", "\n"], ["one", "\ntwo", "", "##", ""]),
        (["bc", "abcd"], ["abc"], ["a"]),
        ([], ["a", "b"], ["a", "b"]),
    ],
)
def test_pieces_are_shown_as_soon_as_they_are_safe(stop: list[str], pieces: list[str], shown: list[str]) -> None:
    strings, found = StopStrings(stop), []
    for piece in pieces:
        found.append(strings.push(piece))
        if strings.found:
            break
    assert found == shown
    assert strings.flush() == ""


def test_a_stop_string_that_comes_too_early_is_text_and_one_that_ends_later_is_not() -> None:
    strings = StopStrings(["aba"])
    assert strings.push("aba", too_early=True) == "ab"
    assert not strings.found
    assert strings.push("ba") == ""
    assert strings.found


def test_what_was_held_back_is_shown_when_no_more_comes() -> None:
    strings = StopStrings(["END"])
    assert strings.push("the EN") == "the "
    assert strings.flush() == "EN"
    assert not strings.found


LETTERS = st.text("ab", max_size=12)


@given(pieces=st.lists(LETTERS, max_size=8), stop=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_the_text_is_cut_at_a_stop_string_and_otherwise_whole(pieces: list[str], stop: list[str]) -> None:
    strings, shown = StopStrings(stop), ""
    for piece in pieces:
        shown += strings.push(piece)
        assert not any(string in shown for string in stop)
        if strings.found:
            break
    whole = "".join(pieces)
    assert strings.found == any(string in whole for string in stop)
    assert whole.startswith(shown + strings.flush())
    assert strings.found or shown == whole[: len(shown)]
