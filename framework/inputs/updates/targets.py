"""Where an update takes place: after or instead of some tokens, or at a position of the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum


class Position(Enum):
    """Spots of a prompt that exist whatever stands there."""

    START = "start"
    PREFIX = "prefix"
    END = "end"


@dataclass(frozen=True)
class PromptIndex:
    """A spot of a prompt, of no width: its start, its end, or behind the tokens that it begins with."""

    position: Position
    tokens: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.position.value}{list(self.tokens) if self.position is Position.PREFIX else ''}"


class PromptIndexTargets:
    """The spots that an update can name instead of tokens."""

    @staticmethod
    def start() -> PromptIndex:
        """Before the first token; there is one in an empty prompt too."""
        return PromptIndex(Position.START)

    @staticmethod
    def prefix(tokens: Sequence[int]) -> PromptIndex:
        """Behind these tokens, if the prompt begins with them and nothing in it is changed yet but at its start."""
        return PromptIndex(Position.PREFIX, tuple(tokens))

    @staticmethod
    def end() -> PromptIndex:
        """Behind the last token; there is one in an empty prompt too."""
        return PromptIndex(Position.END)


Target = tuple[int, ...] | PromptIndex
"""A target that is known: tokens, of which none match nothing, or a spot."""

PromptTarget = Sequence[int] | str | PromptIndex
"""A target as it may be written; a text stands for its tokens."""

UpdateTarget = PromptTarget | Callable[[int], PromptTarget]
"""The same, or a function of the item's index that gives it."""
