"""What an item becomes in a prompt: its placeholders, and texts around and between them. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from triptych.errors import SpecError, short
from triptych.spec.document import Tree
from triptych.spec.form_types import PLACEHOLDER
from triptych.spec.scope import Scope

Pieces = Sequence[str | int]
"""What an item becomes: texts, and numbers of placeholders."""


class Grid(Protocol):
    """Whole numbers that say how the rows of an item lie, as its size part gives them."""

    def _asdict(self) -> dict[str, int]: ...


class Content(Protocol):
    """A part of the kind `prompt`: the number of an item's placeholders and its grid -> what it becomes.

    The grid is None for rows that are encoded already and do not tell it. Raises InputError where it is needed. A part
    that begins and ends with texts, which become a part of the text around an item, has those of the plainest item as
    `edges`.
    """

    def __call__(self, count: int, grid: Grid | None, /) -> Pieces: ...


class TimedContent(Protocol):
    """The same of a part that says `timed = True`: it is told, too, the seconds in the middle of each moment."""

    def __call__(self, count: int, grid: Grid | None, /, *, seconds: Sequence[float]) -> Pieces: ...


class Planned(Protocol):
    """What an item becomes, whichever way the spec says it; `seconds` are none for what does not last."""

    def __call__(self, count: int, grid: Grid | None, seconds: Sequence[float], /) -> Pieces: ...


@dataclass(frozen=True)
class Around:
    """All placeholders of an item, between texts."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def __call__(self, count: int, grid: Grid | None, seconds: Sequence[float], /) -> Pieces:  # noqa: ARG002  (one line)
        return (*self.before, count, *self.after)


@dataclass(frozen=True)
class Checked:
    """Content by a registered part. Raises SpecError when it puts other placeholders than an item has."""

    content: Content | TimedContent
    path: str

    @property
    def timed(self) -> bool:
        """Whether it is told when each moment is."""
        return getattr(self.content, "timed", False)

    def __call__(self, count: int, grid: Grid | None, seconds: Sequence[float], /) -> Pieces:
        if self.timed:
            pieces = cast(TimedContent, self.content)(count, grid, seconds=seconds)
        else:
            pieces = cast(Content, self.content)(count, grid)
        if (found := sum(piece for piece in pieces if isinstance(piece, int))) != count:
            raise SpecError(f"puts {found} placeholders for an item that has {count}", path=self.path)
        return pieces


def plan_content(scope: Scope, update: Tree) -> Planned:
    """`with` of an entry of prompt_updates. Raises SpecError for an expression that comes to no text."""
    at, place = scope.at("with"), update.values_at.get("with")
    if isinstance(update.get("with"), Tree):
        return Checked(at.part("prompt", update["with"], place)[1].build(), ".".join(at.path))
    given = at.value(update.get("with"), place)
    texts = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) and text for text in texts):
        at.fail(f"texts are wanted, not {short(given)}", place)
    middle = texts.index(PLACEHOLDER)
    return Around(tuple(texts[:middle]), tuple(texts[middle + 1 :]))
