"""Bounded memory: what is in use stays, what was not asked for longest goes, and two shelves asked alike keep alike."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych.errors import ArgumentError, OptionError
from triptych.inputs.processing.shelf import Shelf

KEYS = st.sampled_from("abcdef")
SIZES = {key: 10 * (number + 1) for number, key in enumerate("abcdef")}


def filled(capacity: int, keys: str) -> Shelf[str, str]:
    shelf: Shelf[str, str] = Shelf(capacity)
    for key in keys:
        shelf.put(key, key.upper(), nbytes=10)
    return shelf


def kept(shelf: Shelf[str, str]) -> str:
    """The keys of what is kept; asked all at once, the order stays but for them."""
    return "".join(shelf._values)


def test_what_was_not_in_use_longest_makes_room() -> None:
    shelf = filled(30, "abc")
    with shelf.using(["a", "x"]) as found:
        assert found == {"a": "A"}
    shelf.put("d", "D", nbytes=10)
    assert (kept(shelf), shelf.nbytes, len(shelf)) == ("cad", 30, 3)
    shelf.put("d", "E", nbytes=5)
    assert (kept(shelf), shelf.nbytes) == ("cad", 25)


def test_what_is_in_use_stays_and_makes_room_when_it_is_not() -> None:
    shelf = filled(20, "ab")
    with shelf.using(["a", "b", "c"]):
        shelf.put("c", "C", nbytes=20)
        with shelf.using(["a"]) as found:
            assert found == {"a": "A"}
        assert kept(shelf) == "bca"
    assert (kept(shelf), shelf.nbytes) == ("c", 20)


def test_to_make_room_is_no_more_work_on_a_full_shelf() -> None:
    asked = 0

    class Key(str):
        __slots__ = ()

        def __hash__(self) -> int:
            nonlocal asked
            asked += 1
            return super().__hash__()

    shelf: Shelf[Key, int] = Shelf(1000)
    for number in range(1100):
        asked = 0
        shelf.put(Key(number), number, nbytes=1)
    assert len(shelf) == 1000
    assert asked < 20


def test_marks_are_released_whatever_happens() -> None:
    shelf = filled(20, "ab")
    with pytest.raises(KeyError), shelf.using(["a"]):
        raise KeyError
    with pytest.raises(GeneratorExit), shelf.using(["a", "a"]), shelf.using(["a"]):
        raise GeneratorExit
    for key in "cd":
        shelf.put(key, key, nbytes=10)
    assert kept(shelf) == "cd"
    assert not shelf._marks


def test_what_is_larger_than_all_the_room_is_not_kept_and_drops_nothing_but_what_was_under_its_key() -> None:
    shelf = filled(20, "ab")
    assert shelf.put("a", "A", nbytes=20)
    assert not shelf.put("b", "B", nbytes=21)
    assert (kept(shelf), shelf.nbytes) == ("a", 20)


def test_what_is_forgotten_is_gone() -> None:
    shelf = filled(40, "abcd")
    shelf.forget(lambda key: key in "bd")
    assert (kept(shelf), shelf.nbytes) == ("ac", 20)


@pytest.mark.parametrize("capacity", [-1, "1"])
def test_a_capacity_that_is_none_is_refused(capacity: Any) -> None:
    with pytest.raises((OptionError, ArgumentError), match=r"^capacity: .*not (-1|'1')$"):
        Shelf(capacity)


@given(st.integers(0, 120), st.lists(st.lists(KEYS, min_size=1, max_size=4), max_size=12), st.randoms())
def test_the_order_of_what_is_in_use_together_does_not_matter(
    capacity: int, prompts: list[list[str]], draw: Any
) -> None:
    one, other = Shelf[str, str](capacity), Shelf[str, str](capacity)
    for prompt in prompts:
        for shelf, keys in ((one, prompt), (other, draw.sample(prompt, len(prompt)))):
            with shelf.using(keys) as found:
                for key in keys:
                    if key not in found:
                        shelf.put(key, key, nbytes=SIZES[key])
        assert kept(one) == kept(other)
        assert one.nbytes == sum(SIZES[key] for key in kept(one)) <= capacity


def test_threads_share_it() -> None:
    shelf, failed = Shelf[int, int](50), list[BaseException]()

    def work(seed: int) -> None:
        try:
            for number in range(500):
                key = (seed * number) % 13
                with shelf.using([key]) as found:
                    assert found.get(key, key) == key
                    shelf.put(key, key, nbytes=10)
                    with shelf.using([key]) as again:
                        assert again == {key: key}
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (3, 5, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert (shelf.nbytes, len(shelf), shelf._marks) == (50, 5, {})
