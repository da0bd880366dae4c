"""What an update puts into the prompt, and which of its tokens take rows of the item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PromptUpdateDetails:
    """The `full` content as token ids.

    `is_embed` gives a bool mask of the content's tokens: those that take a row of the item. Without it all do.
    """

    full: list[int]
    is_embed: Callable[[Sequence[int]], Tensor] | None = None

    @classmethod
    def from_seq(cls, seq: Sequence[int]) -> PromptUpdateDetails:
        """Content of which every token takes a row."""
        return cls(list(seq))

    @classmethod
    def select_token_id(cls, seq: Sequence[int], token: int) -> PromptUpdateDetails:
        """Content of which the tokens with one id take rows."""
        return cls(list(seq), _Among((token,)))

    @classmethod
    def select_token_ids(cls, seq: Sequence[int], tokens: Sequence[int]) -> PromptUpdateDetails:
        """Content of which the tokens with any of these ids take rows."""
        return cls(list(seq), _Among(tuple(tokens)))


@dataclass(frozen=True)
class _Among:
    """Which tokens are among some: as data, so that details of equal meaning are equal and can be kept in a cache."""

    tokens: tuple[int, ...]

    def __call__(self, full: Sequence[int]) -> Tensor:
        return torch.tensor([token in self.tokens for token in full], dtype=torch.bool)


PromptContent = Sequence[int] | PromptUpdateDetails
"""Content as it may be written: token ids of which all take rows, or with details."""

UpdateContent = PromptContent | Callable[[int], PromptContent]
"""The same, or a function of the item's index that gives it."""
