"""A picture in a terminal: as it is where the terminal takes pictures, else two of its pixels in a character."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from PIL.Image import Image

    Pixel = bytes  # red, green, blue

HALF = "▀"  # its ink is the upper pixel, what is behind it the lower one
PLAIN = "\x1b[0m"
COLUMNS, LINES = 64, 16  # at most
STEPS = 5  # of each colour beside none, where a terminal has 256 of them


def can_show(stream: TextIO) -> bool:
    """Whether it is a terminal that takes pictures, or has colours and the character."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or (os.environ.get("TERM") or "dumb") == "dumb":
        return False
    try:
        HALF.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def show(picture: Image, stream: TextIO) -> None:
    """Write a picture: in characters of 24-bit colours where the terminal says that it has them, else of 256."""
    from triptych.cli.terminal_pictures import protocol

    exact = os.environ.get("COLORTERM", "") in ("truecolor", "24bit")
    if (write := protocol(os.environ)) is not None:
        stream.write(write(picture) + "\n")
    else:
        for line in lines(picture, columns=min(COLUMNS, _columns(stream)), exact=exact):
            stream.write(line + "\n")
    stream.flush()


def lines(picture: Image, *, columns: int, exact: bool = True) -> list[str]:
    """The picture in as many columns, or fewer where it is high."""
    scale = min(columns / picture.width, 2 * LINES / picture.height)
    width, rows = max(1, round(picture.width * scale)), max(1, round(picture.height * scale / 2))
    small = picture.convert("RGB").resize((width, 2 * rows))
    data = small.tobytes()
    pixels = [[data[3 * at :][:3] for at in range(y * width, (y + 1) * width)] for y in range(2 * rows)]
    return [_line(above, below, exact) for above, below in zip(pixels[::2], pixels[1::2], strict=True)]


def _line(above: Sequence[Pixel], below: Sequence[Pixel], exact: bool) -> str:
    pairs = zip(above, below, strict=True)
    return "".join(f"\x1b[38;{_colour(a, exact)};48;{_colour(b, exact)}m{HALF}" for a, b in pairs) + PLAIN


def _colour(pixel: Pixel, exact: bool) -> str:
    """As a terminal is told it: itself, or its place in a cube of 6 x 6 x 6."""
    if exact:
        return f"2;{pixel[0]};{pixel[1]};{pixel[2]}"
    r, g, b = (round(value / 255 * STEPS) for value in pixel)
    return f"5;{16 + 36 * r + 6 * g + b}"


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or COLUMNS
    except OSError:
        return COLUMNS
