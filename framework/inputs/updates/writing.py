"""A prompt with the contents of a plan in it."""

from __future__ import annotations

from collections.abc import Callable

from triptych.inputs.updates.placed import PlaceholderFeaturesInfo, place
from triptych.inputs.updates.planning import Plan

Written = tuple[list[int], list[PlaceholderFeaturesInfo]]
"""The new token ids, and what they hold, from left to right."""


def write(plan: Plan, kept: Callable[[int, int], list[int]], *, length: int) -> Written:
    """`kept(start, end)` gives the tokens of the pieces that stay, of a prompt of that length."""
    token_ids, placed, last = list[int](), list[PlaceholderFeaturesInfo](), 0
    for start, end, update in plan.applied:
        token_ids += kept(last, start)
        placed.append(place(update, len(token_ids)))
        token_ids += update.content.full
        last = end
    return token_ids + kept(last, length), placed
