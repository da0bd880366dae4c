"""Items of a prompt, processed: all of them at once, or only those that the cache does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from triptych.errors import InputError
from triptych.inputs.items import MultiModalKwargsItem, MultiModalKwargsItems
from triptych.inputs.media import MultiModalDataItems, ProcessorItems
from triptych.inputs.media.reading import check_none
from triptych.inputs.processing.cache import ProcessedItem, ProcessorCache
from triptych.inputs.updates import ItemUpdates, PromptUpdate


@dataclass(frozen=True, eq=False)
class Processed:
    """Tensors of items, the updates declared, those of each item, and how many rows each gives, where that is known."""

    items: MultiModalKwargsItems
    declared: Sequence[PromptUpdate]
    updates: ItemUpdates
    rows: Mapping[str, Sequence[int]] = field(default_factory=dict)


def may_be_kept(items: MultiModalDataItems) -> bool:
    """Whether all items are raw ones: rows that users bring are not processed at all."""
    return all(isinstance(each, ProcessorItems) for each in items.values())


def with_cache(
    items: MultiModalDataItems,
    names: Mapping[str, Sequence[str]],
    cache: ProcessorCache,
    process: Callable[[MultiModalDataItems], Processed],
) -> Processed:
    """`process` of the items that the cache does not hold, and what it holds of the others; in the items' order.

    One that is there twice is processed once. Raises InputError for every item that is missing and was not given.
    """
    found = {modality: dict(zip(each, cache.get(modality, each), strict=True)) for modality, each in names.items()}
    missing = {m: _missing(names[m], found[m]) for m in items}
    check_none([*_absent(items, missing)])
    part = {m: items[m].select(places) for m, places in missing.items() if places}  # type: ignore[attr-defined]
    fresh = process(MultiModalDataItems(part))
    for modality, places in missing.items():
        for item, place in zip(_each(fresh, modality), places, strict=True):
            found[modality][names[modality][place]] = item
            cache.put(modality, names[modality][place], item)
    return _together({m: [found[m][name] for name in each] for m, each in names.items()}, fresh)


def _missing(names: Sequence[str], found: Mapping[str, ProcessedItem | None]) -> list[int]:
    """The first place of each name that nothing is found under."""
    return [place for place, name in enumerate(names) if found[name] is None and name not in names[:place]]


def _absent(items: MultiModalDataItems, missing: Mapping[str, Sequence[int]]) -> Iterator[InputError]:
    for modality, places in missing.items():
        for place in places:
            if items[modality].get(place) is None:
                message = f"is known by its id alone, and no cache holds it; give the {modality}"
                yield InputError(message, path=f"{modality}[{place}]")


def _each(fresh: Processed, modality: str) -> Iterator[ProcessedItem]:
    rows = fresh.rows.get(modality)
    for index, data in enumerate(fresh.items.get(modality, ())):
        assert data is not None
        yield ProcessedItem(data, tuple(fresh.updates[modality][index]), rows[index] if rows is not None else None)


def _together(found: Mapping[str, Sequence[ProcessedItem | None]], fresh: Processed) -> Processed:
    items: dict[str, list[MultiModalKwargsItem | None]] = {}
    updates, rows = {}, {}
    declared = dict.fromkeys(update.modality for update in fresh.declared)
    for modality in declared if found.keys() <= declared.keys() else found:  # which of two is tried first
        each = [item for item in found.get(modality, ()) if item is not None]
        updates[modality] = [item.bound(index) for index, item in enumerate(each)]
        known = [item.rows for item in each if item.rows is not None]
        if modality in found:
            items[modality] = [item.data for item in each]
        if modality in found and len(known) == len(each):
            rows[modality] = known
    return Processed(MultiModalKwargsItems(items), fresh.declared, updates, rows)
