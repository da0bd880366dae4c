"""Where targets stand in a prompt: in its token ids, or in its text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from triptych.inputs.updates.targets import Position, PromptIndex, Target


class Found(NamedTuple):
    """A match of a target: where it begins, and from where to where what it matches stands.

    The two differ for a prefix, which begins at 0 and matches the spot behind its tokens.
    """

    at: int
    start: int
    end: int


class Searched(ABC):
    """A prompt in which targets are searched. Lengths and places count tokens, or characters."""

    @abstractmethod
    def __len__(self) -> int: ...

    def find(self, target: Target, start: int) -> Found | None:
        """The first match that begins at or after `start`; None when there is none."""
        if isinstance(target, PromptIndex):
            return self._spot(target, start)
        return self._span(target, start)

    def _spot(self, target: PromptIndex, start: int) -> Found | None:
        if target.position is Position.END:
            return Found(len(self), len(self), len(self))
        width = self._prefix(target.tokens)
        return None if start or width is None else Found(0, width, width)

    @abstractmethod
    def _span(self, target: tuple[int, ...], start: int) -> Found | None: ...

    @abstractmethod
    def _prefix(self, tokens: tuple[int, ...]) -> int | None:
        """How long these tokens are if the prompt begins with them, else None."""


class TokenPrompt(Searched):
    """The token ids of a prompt. Only targets that are given here are found; all are, in one walk over the prompt."""

    def __init__(self, token_ids: Sequence[int], targets: Iterable[Target]) -> None:
        self.token_ids = token_ids
        self._starts = _occurrences(token_ids, [each for each in targets if isinstance(each, tuple)])

    def __len__(self) -> int:
        return len(self.token_ids)

    def _span(self, target: tuple[int, ...], start: int) -> Found | None:
        starts = self._starts.get(target, [])
        number = bisect_left(starts, start)
        return Found(starts[number], starts[number], starts[number] + len(target)) if number < len(starts) else None

    def _prefix(self, tokens: tuple[int, ...]) -> int | None:
        return len(tokens) if tuple(self.token_ids[: len(tokens)]) == tokens else None


class TextPrompt(Searched):
    """The text of a prompt, and of the tokens that targets are made of. A target without text matches nothing."""

    def __init__(self, text: str, texts: Mapping[tuple[int, ...], str]) -> None:
        self.text = text
        self._texts = texts

    def __len__(self) -> int:
        return len(self.text)

    def _span(self, target: tuple[int, ...], start: int) -> Found | None:
        wanted = self._texts[target]
        at = self.text.find(wanted, start) if wanted else -1
        return None if at < 0 else Found(at, at, at + len(wanted))

    def _prefix(self, tokens: tuple[int, ...]) -> int | None:
        wanted = self._texts[tokens]
        return len(wanted) if self.text.startswith(wanted) else None


@dataclass
class _Node:
    """A step of a tree of targets by their tokens, and the target that ends with it: at the root an empty one."""

    after: dict[int, _Node] = field(default_factory=dict)
    target: tuple[int, ...] | None = None


def _occurrences(token_ids: Sequence[int], targets: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], list[int]]:
    """Where each target begins. However many there are, a token is looked at once a beginning that it may belong to.

    An empty one is nowhere: the walk asks no root.
    """
    root, starts = _tree(targets), dict[tuple[int, ...], list[int]]()
    for start, first in enumerate(token_ids):
        node, end = root.after.get(first), start + 1
        while node is not None:
            if node.target is not None:
                starts.setdefault(node.target, []).append(start)
            node, end = node.after.get(token_ids[end]) if end < len(token_ids) else None, end + 1
    return starts


def _tree(targets: Iterable[tuple[int, ...]]) -> _Node:
    root = _Node()
    for target in targets:
        node = root
        for token in target:
            node = node.after.setdefault(token, _Node())
        node.target = target
    return root
