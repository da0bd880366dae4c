"""What of an item stands in a prompt already: its placeholders, and the texts before and after them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch

from triptych.inputs.updates import (
    PlaceholderFeaturesInfo,
    PromptUpdateDetails,
    ResolvedPromptUpdate,
)
from triptych.spec.tokens import TokenRule


def three_parts(content: PromptUpdateDetails, rule: TokenRule) -> tuple[list[int], list[int], list[int]]:
    """The tokens before the first placeholder, those from it to the last, those after that."""
    places = [at for at, token in enumerate(content.full) if token == rule.placeholder] or [0]
    start, stop = places[0], places[-1] + 1
    return content.full[:start], content.full[start:stop], content.full[stop:]


def without_texts(content: PromptUpdateDetails, rule: TokenRule) -> PromptUpdateDetails:
    """What of an item stands from its first placeholder to the last, without the texts around them."""
    _, inner, _ = three_parts(content, rule)
    if set(inner) == {rule.placeholder}:
        return PromptUpdateDetails(inner)
    return PromptUpdateDetails.select_token_id(inner, rule.placeholder)


def is_written(
    token_ids: Sequence[int], places: Sequence[int], updates: Sequence[Sequence[ResolvedPromptUpdate]]
) -> bool:
    """Whether the texts of items stand before their placeholders; as many of these as items do not tell it."""
    if len(places) != len(updates):
        return True
    for at, alternatives in zip(places, updates, strict=True):
        full = alternatives[0].content.full
        before = full[: full.index(token_ids[at])] if token_ids[at] in full else full
        if [*token_ids[max(0, at - len(before)) : at]] != before:
            return False
    return True


def place_items(
    modality: str, token_ids: Sequence[int], places: Sequence[int], rows: Sequence[int]
) -> list[PlaceholderFeaturesInfo]:
    """Each item at as many of the places as it has rows, in order; other tokens may stand between them."""
    found, rest = [], iter(places)
    for item, count in enumerate(rows):
        own = [*islice(rest, count)]
        first, last = own[0], own[-1]
        tokens = [*token_ids[first : last + 1]]
        mask = torch.zeros(len(tokens), dtype=torch.bool)
        mask[torch.tensor(own) - first] = True
        whole = None if bool(mask.all()) else mask
        found.append(PlaceholderFeaturesInfo(modality, item, first, tokens, whole))
    return found
