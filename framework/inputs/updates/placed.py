"""Where the content of an item has come to stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from triptych.errors import PromptUpdateError
from triptych.inputs.placeholders import PlaceholderRange, mask_fault, same_mask
from triptych.inputs.updates.update import ResolvedPromptUpdate


@dataclass(frozen=True, eq=False)
class PlaceholderFeaturesInfo:
    """The tokens of one item, from `start_idx` of the new prompt on; `is_embed` as in PlaceholderRange."""

    modality: str
    item_idx: int
    start_idx: int
    tokens: list[int]
    is_embed: Tensor | None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PlaceholderFeaturesInfo):
            return NotImplemented
        named = [(p.modality, p.item_idx, p.start_idx, p.tokens) for p in (self, other)]
        return named[0] == named[1] and same_mask(self.is_embed, other.is_embed)

    def __hash__(self) -> int:
        return hash((self.modality, self.item_idx, self.start_idx))

    @property
    def length(self) -> int:
        """How many tokens it has."""
        return len(self.tokens)

    def to_range(self) -> PlaceholderRange:
        """The same as a range of the prompt."""
        return PlaceholderRange(self.start_idx, self.length, self.is_embed)


@dataclass(frozen=True)
class AppliedUpdates:
    """A prompt in which the updates are applied.

    `placeholders` has those of each modality in the order of its items; an item of empty content has none.
    `used_fallback` says that the prompt was encoded anew from its text.
    """

    token_ids: list[int]
    placeholders: Mapping[str, list[PlaceholderFeaturesInfo]]
    used_fallback: bool


def place(update: ResolvedPromptUpdate, start_idx: int) -> PlaceholderFeaturesInfo:
    """The content of an update as it stands in the prompt. Raises PromptUpdateError for a mask that does not fit it."""
    full = list(update.content.full)
    mask = update.content.is_embed(full) if update.content.is_embed else None
    if found := mask_fault(mask, len(full)):
        raise PromptUpdateError(found, path=f"{update.modality}[{update.item_idx}].content.is_embed")
    return PlaceholderFeaturesInfo(update.modality, update.item_idx, start_idx, full, mask)


def by_item(
    modalities: Iterable[str], placed: Iterable[PlaceholderFeaturesInfo]
) -> dict[str, list[PlaceholderFeaturesInfo]]:
    """Placeholders by modality, in item order; those of no tokens left out."""
    found: dict[str, list[PlaceholderFeaturesInfo]] = {modality: [] for modality in modalities}
    for one in sorted(placed, key=lambda each: each.item_idx):
        if one.tokens:
            found[one.modality].append(one)
    return found
