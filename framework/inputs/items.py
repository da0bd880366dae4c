"""Items of a prompt as the encoder takes them: tensors by key, cut out of a processor's output, joined again later."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from triptych.arguments import check_arguments
from triptych.errors import InputError, InputTypeError, ItemError, Problem
from triptych.inputs.batches import apart, batches, join_items
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.kinds import MultiModalFieldElem
from triptych.inputs.nested import NestedTensors

if TYPE_CHECKING:
    from triptych.inputs.placeholders import PlaceholderRange

logger = logging.getLogger(__name__)

Columns = Mapping[str, Sequence[MultiModalFieldElem]]
"""Of one modality: what each item has, by key."""


class MultiModalKwargsItem(Mapping[str, MultiModalFieldElem]):
    """What one item has in each of its fields, by key."""

    def __init__(self, elems: Mapping[str, MultiModalFieldElem]) -> None:
        check_arguments(InputTypeError, elems=(elems, Mapping))
        self._elems = dict(elems)

    def __getitem__(self, key: str) -> MultiModalFieldElem:
        return self._elems[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._elems)

    def __len__(self) -> int:
        return len(self._elems)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._elems!r})"

    def get_data(self) -> dict[str, NestedTensors]:
        """The data alone, by key, as they are cut out: without a dim for items."""
        return {key: elem.data for key, elem in self.items()}


class MultiModalKwargsItems(Mapping[str, Sequence[MultiModalKwargsItem | None]]):
    """The items of a prompt, in order, by modality; None for one that is absent, as a cache has it."""

    def __init__(self, items: Mapping[str, Sequence[MultiModalKwargsItem | None]]) -> None:
        check_arguments(InputTypeError, items=(items, Mapping))
        self._items = {modality: tuple(found) for modality, found in items.items()}

    @classmethod
    def from_hf_inputs(
        cls, data: Mapping[str, object], fields: Mapping[str, MultiModalFieldConfig]
    ) -> MultiModalKwargsItems:
        """The output of a processor cut into items, as views; numbers and arrays become tensors.

        What is None or empty is left out, and so is what `fields` do not name (reported once). Raises InputError for
        all values that cannot be cut as declared, and for fields of a modality that differ in their number of items.
        """
        report_ignored(frozenset(map(str, data.keys() - fields.keys())))
        columns = _columns(data, fields)
        return cls({modality: _items(found) for modality, found in columns.items()})

    def __getitem__(self, modality: str) -> Sequence[MultiModalKwargsItem | None]:
        return self._items[modality]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._items!r})"

    def get_data(self) -> dict[str, NestedTensors]:
        """All data joined, by key: one batch for each modality that has items.

        Raises ItemError that names every absent item, every modality whose items do not go into one batch, with the
        reason, and every key that two modalities have.
        """
        present = {m: [item for item in items if item is not None] for m, items in self._items.items() if items}
        if problems := [*self._absent(), *_parted(present), *_doubled(present)]:
            raise ItemError(problems)
        return {key: data for items in present.values() for key, data in join_items(items).items()}

    def _absent(self) -> Iterator[Problem]:
        for modality, items in self._items.items():
            for place, item in enumerate(items):
                if item is None:
                    yield Problem("is absent; put the item that the cache has in its place", f"{modality}[{place}]")


@dataclass(frozen=True, eq=False, kw_only=True)
class MultiModalFeatureSpec:
    """One item of a prompt: its data, and which rows of the prompt it gives.

    `data` is None where the encoder's process has them. `identifier` tells the rows from those of other items, under
    an adapter too; `mm_hash` tells the data, and is None where they are not cached.
    """

    data: MultiModalKwargsItem | None
    modality: str
    identifier: str
    mm_position: PlaceholderRange
    mm_hash: str | None = None


@cache
def report_ignored(keys: frozenset[str]) -> None:
    """Once for a processor, not for each of its prompts."""
    if keys:
        logger.warning("the processor gives %s, for which no field is declared; ignored", ", ".join(sorted(keys)))


def _columns(data: Mapping[str, object], fields: Mapping[str, MultiModalFieldConfig]) -> dict[str, Columns]:
    """What each item has, by modality and key. Raises InputError with everything that is wrong."""
    found: dict[str, dict[str, list[MultiModalFieldElem]]] = {}
    errors: list[InputError] = []
    for key, config in fields.items():
        try:
            elems = config.build_elems(key, data.get(key))
        except InputError as error:
            errors.append(error)
        else:
            if elems is not None:
                found.setdefault(config.modality, {})[key] = elems
    errors += [
        InputError(message, path=modality) for modality, columns in found.items() for message in _uneven(columns)
    ]
    if errors:
        kind = InputTypeError if any(isinstance(error, TypeError) for error in errors) else InputError
        raise kind(problem for error in errors for problem in error.problems)
    return dict(found)


def _uneven(columns: Columns) -> Iterator[str]:
    counts = {key: len(elems) for key, elems in columns.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} in {key}" for key, count in counts.items())
        yield f"fields differ in their number of items: {listed}; each needs the same"


def _items(columns: Columns) -> list[MultiModalKwargsItem]:
    return [
        MultiModalKwargsItem(dict(zip(columns, elems, strict=True))) for elems in zip(*columns.values(), strict=True)
    ]


def _parted(items: Mapping[str, Sequence[MultiModalKwargsItem]]) -> Iterator[Problem]:
    """Modalities with more than one batch."""
    for modality, found in items.items():
        firsts = [batch[0] for _, batch in batches((modality, item) for item in found)]
        if len(firsts) > 1:
            message = f"items make {len(firsts)} batches ({apart(*firsts[:2])})"
            yield Problem(f"{message}; take them one by one, by group_and_batch_mm_kwargs", modality)


def _doubled(items: Mapping[str, Sequence[MultiModalKwargsItem]]) -> Iterator[Problem]:
    """Keys of more than one modality: only one of the two would be read."""
    owners: dict[str, str] = {}
    for modality, found in items.items():
        for key in sorted({key for item in found for key in item}):
            if (owner := owners.setdefault(key, modality)) != modality:
                yield Problem(f"{owner} has {key} too; read the two modalities by group_and_batch_mm_kwargs", modality)
