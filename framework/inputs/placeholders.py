"""Where the rows of one item stand in a prompt."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.arguments import check_arguments
from triptych.errors import InputError, InputTypeError, Problem


@dataclass(frozen=True, eq=False)
class PlaceholderRange:
    """The `length` tokens from `offset` on that stand for one item.

    `is_embed` (bool, [length]) says which of them take a row of the item; without it all do. Raises InputError for
    numbers below 0 and for another mask, InputTypeError for what is no tensor.
    """

    offset: int
    length: int
    is_embed: Tensor | None = None

    def __post_init__(self) -> None:
        check_arguments(InputTypeError, offset=(self.offset, int), length=(self.length, int))
        numbers = {"offset": self.offset, "length": self.length}
        problems = [Problem(f"0 or more is wanted, not {n}", name) for name, n in numbers.items() if n < 0]
        if found := mask_fault(self.is_embed, self.length):
            problems.append(Problem(found, "is_embed"))
        if problems:
            is_type = self.is_embed is not None and not isinstance(self.is_embed, Tensor)
            raise (InputTypeError if is_type else InputError)(problems)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PlaceholderRange):
            return NotImplemented
        return (self.offset, self.length) == (other.offset, other.length) and same_mask(self.is_embed, other.is_embed)

    def __hash__(self) -> int:
        return hash((self.offset, self.length))

    def get_num_embeds(self) -> int:
        """How many rows the item gives."""
        return self.length if self.is_embed is None else int(self.is_embed.sum())

    def get_embeds_indices_in_range(self, start: int, end: int) -> tuple[int, int]:
        """The rows, first and one past the last, that tokens `start` to `end` (one past) of the placeholder take.

        Tokens count from the placeholder's first. Raises InputError for tokens that it does not have.
        """
        check_arguments(InputTypeError, start=(start, int), end=(end, int))
        if not 0 <= start <= end <= self.length:
            raise InputError(f"tokens {start} to {end} of a placeholder: it has those from 0 to {self.length}")
        if self.is_embed is None:
            return start, end
        before = int(self.is_embed[:start].sum())
        return before, before + int(self.is_embed[start:end].sum())

    def extract_embeds_range(self) -> list[tuple[int, int]]:
        """Runs of prompt positions that take rows, each with its first and its last."""
        if self.is_embed is None:
            return [(self.offset, self.offset + self.length - 1)] if self.length else []
        edge = torch.zeros(1, dtype=torch.int8, device=self.is_embed.device)
        steps = torch.diff(self.is_embed.to(torch.int8), prepend=edge, append=edge)
        firsts, ends = (torch.nonzero(steps == step).flatten() + self.offset for step in (1, -1))
        return list(zip(firsts.tolist(), (ends - 1).tolist(), strict=True))


def mask_fault(mask: object, length: int) -> str:
    """What is wrong with the mask of a placeholder of so many tokens; empty when nothing is."""
    if mask is None:
        return ""
    if not isinstance(mask, Tensor):
        return f"a bool tensor [{length}] is wanted, not a {type(mask).__name__}"
    if mask.dtype == torch.bool and mask.shape == (max(length, 0),):
        return ""
    return f"a bool tensor [{length}] is wanted, not {str(mask.dtype).removeprefix('torch.')} {list(mask.shape)}"


def same_mask(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two masks are both absent, or equal."""
    return one is other or (one is not None and other is not None and torch.equal(one, other))
