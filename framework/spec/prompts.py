"""What an item becomes in a prompt: its placeholders, and texts around and between them. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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

    The grid is None for rows that are encoded already. Raises InputError where it is needed.
    """

    def __call__(self, count: int, grid: Grid | None, /) -> Pieces: ...


@dataclass(frozen=True)
class Around:
    """All placeholders of an item, between texts."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def __call__(self, count: int, grid: Grid | None, /) -> Pieces:  # noqa: ARG002  (they lie in one line)
        return (*self.before, count, *self.after)


@dataclass(frozen=True)
class Checked:
    """Content by a registered part. Raises SpecError when it puts other placeholders than an item has."""

    content: Content
    path: str

    def __call__(self, count: int, grid: Grid | None, /) -> Pieces:
        pieces = self.content(count, grid)
        if (found := sum(piece for piece in pieces if isinstance(piece, int))) != count:
            raise SpecError(f"puts {found} placeholders for an item that has {count}", path=self.path)
        return pieces


def plan_content(scope: Scope, update: Tree) -> Content:
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
