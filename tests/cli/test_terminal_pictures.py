"""Pictures for terminals that take them: what is written is read again, by the letter of each protocol."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.cli.test_terminal import Terminal
from triptych.cli import terminal
from triptych.cli.terminal_pictures import HEIGHT, PIECE, WIDTH, iterm, kitty, protocol, sixel

SEEN = [
    ({"TERM": "xterm-256color"}, None),
    ({}, None),
    ({"TERM": "xterm-kitty"}, kitty),
    ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, kitty),
    ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, kitty),
    ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, iterm),
    ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, iterm),
    ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, iterm),
    ({"TERM": "foot"}, sixel),
    ({"TERM": "mlterm-256color"}, sixel),
    ({"TERM": "xterm-sixel"}, sixel),
    ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, None),
    ({"TERM": "xterm-256color", "TMUX": "/tmp/x", "LC_TERMINAL": "iTerm2"}, None),
    ({"TERM": "screen", "TERM_PROGRAM": "iTerm.app"}, None),
]


def drawn(width: int, height: int) -> Image.Image:
    """Four colours in noise, which a palette of more holds exactly."""
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 0], [255, 255, 255]], np.uint8)
    return Image.fromarray(colours[np.random.default_rng(0).integers(0, 4, (height, width))])


def read_kitty(text: str) -> Image.Image:
    pieces = re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\", text)
    assert "".join(f"\x1b_G{head};{data}\x1b\\" for head, data in pieces) == text
    heads = [dict(pair.split("=") for pair in head.split(",")) for head, _ in pieces]
    assert {"a": "T", "f": "100", "q": "2"}.items() <= heads[0].items()
    assert [head["m"] for head in heads] == ["1"] * (len(heads) - 1) + ["0"]
    assert all(len(data) <= PIECE and len(data) % 4 == 0 for _, data in pieces)
    return Image.open(io.BytesIO(b64decode("".join(data for _, data in pieces))))


def read_iterm(text: str) -> Image.Image:
    found = re.fullmatch("\x1b]1337;File=inline=1:([^\a]*)\a", text)
    assert found
    return Image.open(io.BytesIO(b64decode(found[1])))


def read_sixel(text: str) -> Image.Image:
    found = re.fullmatch('\x1bPq"1;1;(\\d+);(\\d+)(.*)\x1b\\\\', text)
    assert found
    width, height = int(found[1]), int(found[2])
    pixels: NDArray[np.uint8] = np.full((height, width, 3), 77, np.uint8)
    named, x, y, colour = {}, 0, 0, [0, 0, 0]
    for number, definition, sign in re.findall(r"#(\d+)((?:;\d+)*)|([^#])", found[3]):
        if definition:
            kind, *percents = map(int, definition[1:].split(";"))
            assert kind == 2
            named[number] = [round(percent * 2.55) for percent in percents]
        elif number:
            colour = named[number]
        elif sign == "$":
            x = 0
        elif sign == "-":
            x, y = 0, y + 6
        else:
            for dot in range(6):
                if (ord(sign) - 63) >> dot & 1:
                    pixels[y + dot, x] = colour
            x += 1
    return Image.fromarray(pixels)


READERS = [(kitty, read_kitty), (iterm, read_iterm), (sixel, read_sixel)]


@pytest.mark.parametrize(("environment", "wanted"), SEEN, ids=lambda given: getattr(given, "__name__", str(given)))
def test_what_a_terminal_takes_is_told_by_its_environment(environment: dict[str, str], wanted: object) -> None:
    assert protocol(environment) is wanted


@pytest.mark.parametrize("size", [(7, 5), (100, 33), (479, 3), (480, 240)])
@pytest.mark.parametrize(("write", "read"), READERS)
def test_pixels_come_back_as_squares(
    write: Callable[[Image.Image], str], read: Callable[[str], Image.Image], size: tuple[int, int]
) -> None:
    picture, found = drawn(*size), np.asarray(read(write(drawn(*size))).convert("RGB"))
    scale = found.shape[0] // picture.height
    assert found.shape == (picture.height * scale, picture.width * scale, 3)
    assert found.shape[1] <= WIDTH < found.shape[1] + picture.width or found.shape[0] + picture.height > HEIGHT
    assert np.array_equal(found, np.asarray(picture).repeat(scale, 0).repeat(scale, 1))


@pytest.mark.parametrize("size", [(1, 1), (2000, 900), (900, 2000), (10_000, 20), (20, 10_000)])
@pytest.mark.parametrize(("write", "read"), READERS)
def test_pictures_of_any_size_fit(
    write: Callable[[Image.Image], str], read: Callable[[str], Image.Image], size: tuple[int, int]
) -> None:
    found = read(write(Image.new("RGBA", size)))
    assert found.width <= WIDTH
    assert found.height <= HEIGHT


def test_a_terminal_that_takes_pictures_is_given_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-kitty")
    monkeypatch.delenv("TMUX", raising=False)
    terminal.show(drawn(4, 4), stream := Terminal())
    assert stream.getvalue() == kitty(drawn(4, 4)) + "\n"
