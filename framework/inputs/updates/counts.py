"""Whether there is as much of everything as a prompt has items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized

from triptych.arguments import check_arguments
from triptych.errors import Problem, PromptUpdateError
from triptych.inputs.updates.faults import HINT
from triptych.inputs.updates.placed import PlaceholderFeaturesInfo


def check_counts(
    counts: Mapping[str, int],
    *,
    processed: Mapping[str, Sized] | None = None,
    updates: Mapping[str, Sized] | None = None,
    placeholders: Mapping[str, Sequence[PlaceholderFeaturesInfo]] | None = None,
    expected: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Raise PromptUpdateError for the first of what is given that does not fit `counts`, the items of each modality.

    In this order: processed items, updates, placeholders; then the rows that the placeholder of each item takes,
    against the `expected` ones, which the token formula gives for the item.
    """
    check_arguments(
        counts=(counts, Mapping),
        processed=(processed, Mapping | None),
        updates=(updates, Mapping | None),
        placeholders=(placeholders, Mapping | None),
        expected=(expected, Mapping | None),
    )
    for given, noun, hint in (
        (processed, "processed items", ""),
        (updates, "items with prompt updates", f"; {HINT}"),
        (placeholders, "placeholders", "; is the content of an update empty?"),
    ):
        if given is not None:
            _check(_faults(counts, given, noun, hint))
    if placeholders is not None:
        _check(_row_faults(placeholders, expected or {}))


def _check(found: Iterator[Problem]) -> None:
    if problems := list(found):
        raise PromptUpdateError(problems)


def _faults(counts: Mapping[str, int], given: Mapping[str, Sized], noun: str, hint: str) -> Iterator[Problem]:
    for modality in dict.fromkeys([*counts, *given]):
        expected, found = counts.get(modality, 0), len(given.get(modality, ()))
        if expected != found:
            yield Problem(f"expected {expected} {noun}, found {found}{hint}", modality)


def _row_faults(
    placeholders: Mapping[str, Sequence[PlaceholderFeaturesInfo]], expected: Mapping[str, Sequence[int]]
) -> Iterator[Problem]:
    for modality, rows in expected.items():
        found = {one.item_idx: one.to_range().get_num_embeds() for one in placeholders.get(modality, ())}
        for item, wanted in enumerate(rows):
            if found.get(item, 0) != wanted:
                message = f"its placeholder has {found.get(item, 0)} embeds, and the token formula gives {wanted}"
                yield Problem(f"{message}; the update and the formula must agree", f"{modality}[{item}]")
