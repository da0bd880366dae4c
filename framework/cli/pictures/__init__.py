"""A model's tree as a picture, of the kind that the file's ending names. All that draws comes with triptych."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from triptych.check.outline import Node
from triptych.cli.pictures.mermaid import mermaid
from triptych.errors import OptionError, suggest

Picture = Callable[[Node], bytes]


def _image(kind: Literal["png", "svg"]) -> Picture:
    def draw(root: Node) -> bytes:
        try:
            from triptych.cli.pictures.images import image  # matplotlib, which only these need
        except Exception as error:  # it reads the user's settings as it is imported: files, variables
            said = f"{type(error).__name__}: {error}"
            raise OptionError(f"matplotlib, which draws .{kind}, cannot be loaded: {said}; .md goes without") from error
        return image(root, kind)

    return draw


KINDS: dict[str, Picture] = {
    ".md": lambda root: mermaid(root).encode(),
    ".png": _image("png"),
    ".svg": _image("svg"),
}


def picture_of(path: Path) -> Picture:
    """What draws a file of that ending. Raises OptionError for one that nothing draws."""
    if (draw := KINDS.get(path.suffix.lower())) is None:
        found = f"as {path.suffix!r}" if path.suffix else "without an ending that names its kind"
        raise OptionError(f"{path}: no picture is drawn {found}{suggest(path.suffix, KINDS)}")
    return draw
