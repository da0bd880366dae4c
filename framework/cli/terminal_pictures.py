"""Pictures as they are, for terminals that take them: which do, and the sequences of characters that bring one there.

https://sw.kovidgoyal.net/kitty/graphics-protocol, https://iterm2.com/documentation-images.html and, for sixels,
https://vt100.net/docs/vt3xx-gp/chapter14.html.
"""

from __future__ import annotations

from base64 import b64encode

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from PIL.Image import Image

WIDTH, HEIGHT = 480, 240  # pixels at most; what is smaller becomes about as large, in whole steps
PIECE = 4096  # characters of one sequence of kitty's
BAND = 6  # rows of pixels that a line of sixels has
COLOURS = 64


def protocol(environment: Mapping[str, str]) -> Callable[[Image], str] | None:
    """What the terminal takes, as far as the environment tells; None where it tells of nothing.

    Inside tmux and screen, which keep such sequences to themselves, there is none.
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or term.startswith(("screen", "tmux")):
        return None
    if term in ("xterm-kitty", "xterm-ghostty") or "KITTY_WINDOW_ID" in environment:
        return kitty
    if program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2":
        return iterm
    return sixel if term.startswith(("foot", "mlterm", "yaft", "contour")) or "sixel" in term else None


def kitty(picture: Image) -> str:
    """A PNG in pieces, each of which says whether more come; the terminal is asked not to answer."""
    data = _png(picture)
    pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
    heads = ["a=T,f=100,q=2,", *[""] * (len(pieces) - 1)]
    more = [1] * (len(pieces) - 1) + [0]
    return "".join(f"\x1b_G{head}m={m};{piece}\x1b\\" for head, m, piece in zip(heads, more, pieces, strict=True))


def iterm(picture: Image) -> str:
    """A PNG as a file that is shown in the line."""
    return f"\x1b]1337;File=inline=1:{_png(picture)}\a"


def sixel(picture: Image) -> str:
    """Colours by number, then bands of six rows: of each colour in it one line over the others."""
    small = _sized(picture).quantize(COLOURS)
    palette = small.getpalette() or []
    named = "".join(
        f"#{number};2;" + ";".join(str(round(value / 255 * 100)) for value in palette[3 * number :][:3])
        for number in range(len(palette) // 3)
    )
    pixels = small.tobytes()
    rows = [pixels[at : at + small.width] for at in range(0, len(pixels), small.width)]
    bands = "-".join("$".join(_band(rows[at : at + BAND])) for at in range(0, len(rows), BAND))
    return f'\x1bPq"1;1;{small.width};{small.height}{named}{bands}\x1b\\'


def _band(rows: list[bytes]) -> Iterator[str]:
    """One line for each colour of a band: a character says which of six pixels, one below the other, have it."""
    for colour in sorted(set(b"".join(rows))):
        columns = zip(*rows, strict=True)
        dots = (sum((value == colour) << y for y, value in enumerate(column)) for column in columns)
        yield f"#{colour}" + "".join(chr(63 + bits) for bits in dots)


def _png(picture: Image) -> str:
    from io import BytesIO

    _sized(picture).save(file := BytesIO(), "PNG")
    return b64encode(file.getvalue()).decode()


def _sized(picture: Image) -> Image:
    """In RGB, and of a size to be looked at: each pixel as a square of several, or fewer pixels."""
    scale = min(WIDTH / picture.width, HEIGHT / picture.height)
    scale = int(scale) if scale >= 1 else scale
    size = max(1, int(picture.width * scale)), max(1, int(picture.height * scale))
    return picture.convert("RGB").resize(size, 0 if scale >= 1 else 2)  # the nearest pixel, or the mean of them
