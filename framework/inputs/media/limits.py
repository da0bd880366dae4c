"""How many items of a modality one prompt may have: the settings' word and the model's, whichever is less."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from triptych.arguments import check_arguments
from triptych.errors import InputError, Problem, suggest
from triptych.inputs.media.embed_fields import DictEmbeddingItems
from triptych.inputs.media.embeds import NOT_ENABLED, EmbeddingItems
from triptych.inputs.media.items import MultiModalDataItems
from triptych.settings import MultiModalSettings


def get_allowed_limits(settings: MultiModalSettings, supported: Mapping[str, int | None]) -> dict[str, int]:
    """How many items of each modality one prompt may have. `supported` is the model's maximum; None is no bound."""
    check_arguments(settings=(settings, MultiModalSettings), supported=(supported, Mapping))
    asked = {modality: settings.get_limit_per_prompt(modality) for modality in supported}
    return {
        modality: asked[modality] if most is None else min(asked[modality], most)
        for modality, most in supported.items()
    }


def check_limits(items: MultiModalDataItems, settings: MultiModalSettings, supported: Mapping[str, int | None]) -> None:
    """Raise InputError with every modality that the model does not take, or not so many items of.

    Embeds are counted like raw items, but not where the limit is 0: that leaves the tower out, which embeds do without.
    """
    check_arguments(
        items=(items, MultiModalDataItems), settings=(settings, MultiModalSettings), supported=(supported, Mapping)
    )
    if problems := [*_problems(items, settings, supported)]:
        raise InputError(problems)


def not_taken(modality: str, supported: Iterable[str]) -> str:
    """What is said of items of a modality that the model does not take."""
    return f"the model takes no such items{suggest(modality, supported)}"


def _problems(
    items: MultiModalDataItems, settings: MultiModalSettings, supported: Mapping[str, int | None]
) -> Iterator[Problem]:
    allowed = get_allowed_limits(settings, supported)
    for modality, count in items.get_all_counts().items():
        embeds = isinstance(items[modality], EmbeddingItems | DictEmbeddingItems)
        if modality not in supported:
            yield Problem(not_taken(modality, supported), modality)
        elif embeds and not settings.embeds:
            yield Problem(NOT_ENABLED, modality)
        elif count > allowed[modality] and not (embeds and settings.get_limit_per_prompt(modality) == 0):
            yield Problem(_too_many(modality, count, settings, supported[modality]), modality)


def _too_many(modality: str, count: int, settings: MultiModalSettings, most: int | None) -> str:
    limit = settings.get_limit_per_prompt(modality)
    told = f"the prompt has {count}, and at most {limit if most is None else min(limit, most)} are taken"
    if most is not None and count > most:
        return f"{told}; the model takes no more than {most}"
    if settings.language_only:
        return f"{told} with language_only; build the model without it"
    return f"{told}; raise limits.{modality} to {count} for all of them"
