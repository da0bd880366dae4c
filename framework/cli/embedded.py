"""What `triptych run` asks, and about what, where it is not told: the small model that comes with the package."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

QUESTION = "What number is written?"
OVERRIDE = re.compile(r"[\w.]+=")


def folder() -> Path:
    """The folder of the model."""
    from pathlib import Path

    return Path(__file__).parent.parent / "handwriting" / "model"


def picture() -> str:
    """The path of the picture that comes with it."""
    return str(folder().with_name("number.png"))


def is_asked(words: Sequence[str]) -> bool:
    """Whether words begin with a question, and no model is named: with a text, or `-`, that overrides alone follow.

    A text is no model's name: it has spaces or ends as questions do, and there is no such folder.
    """
    if not words:
        return True
    first, *rest = words
    is_text = first == "-" or first.endswith("?") or len(first.split()) > 1
    return is_text and not os.path.exists(first) and all(OVERRIDE.match(word) for word in rest)


def read_pictures(paths: Sequence[str]) -> list[str | Image]:
    """The pictures, however long, and the paths of what is none, which the model tells of."""
    from triptych.errors import InputError
    from triptych.inputs.images import open_image

    found: list[str | Image] = []
    for path in paths:
        try:
            found.append(open_image(path, name="image", ratio=None))
        except InputError:
            found.append(path)
    return found


def prepared(pictures: Sequence[str | Image]) -> list[str | Image]:
    """The pictures as the model has learned to see them."""
    from triptych.handwriting.paper import as_strip

    return [picture if isinstance(picture, str) else as_strip(picture) for picture in pictures]


def show(paths: Sequence[str], pictures: Sequence[str | Image], question: str) -> None:
    """What is asked, on stderr: the pictures where that is a terminal that can show them, else where they are."""
    from triptych.cli.terminal import can_show
    from triptych.cli.terminal import show as show_in

    for path, picture in zip(paths, pictures, strict=True):
        if isinstance(picture, str) or not can_show(sys.stderr):
            print(path, file=sys.stderr)
        else:
            show_in(picture, sys.stderr)
    print(question, file=sys.stderr)
