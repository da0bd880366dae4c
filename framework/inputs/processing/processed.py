"""Items of a prompt, processed: all of them at once, or only those that the cache does not hold."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from triptych.errors import InputError
from triptych.inputs.items import MultiModalKwargsItem, MultiModalKwargsItems
from triptych.inputs.media import MultiModalDataItems, ProcessorItems
from triptych.inputs.media.reading import check_none
from triptych.inputs.processing.blame import numbered
from triptych.inputs.processing.cache import Key, ProcessedItem, ProcessorCache
from triptych.inputs.updates import ItemUpdates, PromptUpdate


@dataclass(frozen=True, eq=False)
class Processed:
    """Tensors of items, the updates declared, those of each item, and how many rows each gives, where that is known."""

    items: MultiModalKwargsItems
    declared: Sequence[PromptUpdate]
    updates: ItemUpdates
    rows: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """A cache, and who asks it."""

    cache: ProcessorCache
    reader: Hashable

    def key(self, modality: str, name: str) -> Key:
        """What an item is kept under."""
        return self.reader, modality, name


def may_be_kept(items: MultiModalDataItems) -> bool:
    """Whether all items are raw ones: rows that users bring are not processed at all."""
    return all(isinstance(each, ProcessorItems) for each in items.values())


def with_cache(
    items: MultiModalDataItems,
    names: Mapping[str, Sequence[str]],
    kept: Kept,
    process: Callable[[MultiModalDataItems], Processed],
) -> Processed:
    """`process` of the items that the cache does not hold, and what it holds of the others; in the items' order.

    One that is there twice is processed once. Raises InputError for every item that is missing and was not given.
    """
    keys = {modality: [kept.key(modality, name) for name in each] for modality, each in names.items()}
    with kept.cache.using([*chain.from_iterable(keys.values())]) as found:
        missing = {m: _missing(keys[m], found) for m in items}
        check_none([*_absent(items, missing)])
        part = {m: items[m].select(places) for m, places in missing.items() if places}  # type: ignore[attr-defined]
        with numbered(missing):
            fresh = process(MultiModalDataItems(part))
        for modality, places in missing.items():
            for item, place in zip(_each(fresh, modality), places, strict=True):
                found[keys[modality][place]] = item
                kept.cache.put(keys[modality][place], item)
        return _together({m: [found[key] for key in each] for m, each in keys.items()}, fresh)


def _missing(keys: Sequence[Key], found: Mapping[Key, ProcessedItem]) -> list[int]:
    """The first place of each key that nothing is found under."""
    return [place for place, key in enumerate(keys) if key not in found and key not in keys[:place]]


def _absent(items: MultiModalDataItems, missing: Mapping[str, Sequence[int]]) -> Iterator[InputError]:
    for modality, places in missing.items():
        for place in places:
            if items[modality].is_absent(place):
                message = f"is known by its id alone, and no cache holds it; give the {modality}"
                yield InputError(message, path=f"{modality}[{place}]")


def _each(fresh: Processed, modality: str) -> Iterator[ProcessedItem]:
    rows = fresh.rows.get(modality)
    for index, data in enumerate(fresh.items.get(modality, ())):
        assert data is not None
        yield ProcessedItem(data, tuple(fresh.updates[modality][index]), rows[index] if rows is not None else None)


def _together(found: Mapping[str, Sequence[ProcessedItem]], fresh: Processed) -> Processed:
    items: dict[str, list[MultiModalKwargsItem | None]] = {}
    updates, rows = {}, {}
    declared = dict.fromkeys(update.modality for update in fresh.declared)
    for modality in declared if found.keys() <= declared.keys() else found:  # which of two is tried first
        each = found.get(modality, ())
        updates[modality] = [item.bound(index) for index, item in enumerate(each)]
        known = [item.rows for item in each if item.rows is not None]
        if modality in found:
            items[modality] = [item.data for item in each]
        if modality in found and len(known) == len(each):
            rows[modality] = known
    return Processed(MultiModalKwargsItems(items), fresh.declared, updates, rows)
