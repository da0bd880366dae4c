"""A picture in a terminal: what is written of it, and where nothing is."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from triptych.cli.terminal import COLUMNS, HALF, LINES, can_show, lines, show

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


class Terminal(io.StringIO):
    """One of an encoding."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a user who has asked for nothing."""
    for name in ("NO_COLOR", "TMUX", "KITTY_WINDOW_ID", "TERM_PROGRAM", "LC_TERMINAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")


def four() -> Image.Image:
    picture = Image.new("RGB", (2, 2))
    picture.putdata(COLOURS)
    return picture


def test_a_character_is_two_pixels_one_above_the_other() -> None:
    (line,) = lines(four(), columns=2)
    assert line == f"\x1b[38;2;255;0;0;48;2;0;0;255m{HALF}\x1b[38;2;0;255;0;48;2;255;255;255m{HALF}\x1b[0m"


def test_of_few_colours_the_nearest_are_taken() -> None:
    (line,) = lines(four(), columns=2, exact=False)
    assert line == f"\x1b[38;5;196;48;5;21m{HALF}\x1b[38;5;46;48;5;231m{HALF}\x1b[0m"


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16"])
def test_pictures_of_any_mode_are_shown(mode: str) -> None:
    stream = Terminal()
    show(Image.new(mode, (30, 20)), stream)
    assert stream.getvalue().count(HALF) > 100


@pytest.mark.parametrize("size", [(1, 1), (500, 500), (900, 10), (10, 900), (64, 32), (3000, 1)])
def test_the_picture_keeps_its_shape_and_fits(size: tuple[int, int]) -> None:
    found = [re.sub("\x1b.*?m", "", line) for line in lines(Image.new("RGB", size), columns=COLUMNS)]
    width, height = len(found[0]), 2 * len(found)
    assert {len(line) for line in found} == {width}
    assert width <= COLUMNS
    assert len(found) <= LINES
    assert width == COLUMNS or len(found) == LINES
    assert abs(width * size[1] - height * size[0]) <= 2 * max(size)


@pytest.mark.parametrize(
    ("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", ""), ("TERM", None), ("COLORTERM", "")]
)
def test_it_is_shown_where_there_are_colours(name: str, value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    assert can_show(Terminal()) == (name == "COLORTERM")


def test_it_is_not_shown_in_a_file_nor_where_the_character_is_not_known() -> None:
    assert can_show(Terminal())
    assert not can_show(io.StringIO())
    old = Terminal()
    old.encoding = "latin-1"  # type: ignore[misc]
    assert not can_show(old)
