"""Map-style embeds: several fields that together are the items of a modality, as sizes beside rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from triptych.errors import InputError, Problem, suggest
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.media.embeds import check_rows
from triptych.inputs.media.items import ModalityDataItems
from triptych.inputs.media.reading import read_each
from triptych.inputs.nested import NestedTensors, as_tensors

Fields = Mapping[str, NestedTensors]


@dataclass(frozen=True, kw_only=True)
class EmbedFields:
    """Which fields the embeds of a modality have, and how each is cut into items.

    The field `rows`, always there, holds what goes to the language model. `cut` gives the config of each field.
    """

    rows: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    cut: Callable[[Fields], Mapping[str, MultiModalFieldConfig]]


class DictEmbeddingItems(ModalityDataItems[Fields]):
    """Embeds in several fields; an item is what it has in each. The fields go to the model as they were given."""

    def __init__(self, data: Fields, items: Mapping[str, list[NestedTensors]], *, modality: str, rows: str) -> None:
        each = zip(*items.values(), strict=True)
        super().__init__([dict(zip(items, values, strict=True)) for values in each], modality=modality)
        self._data, self._rows = data, rows

    def get_feature_size(self, index: int) -> int:
        """How many tokens an item takes."""
        return len(self.given(index)[self._rows])

    def get_processor_data(self) -> Mapping[str, object]:
        return {}

    def get_passthrough_data(self) -> Mapping[str, object]:
        return dict(self._data)


def read_dict_embeds(
    data: Mapping[str, object], *, modality: str, fields: EmbedFields, hidden_size: int | None
) -> DictEmbeddingItems:
    """The fields of all items, each cut as `fields` says.

    Raises InputError for fields that are unknown or missing, that are cut into different numbers of items, and with
    every item whose rows are not floating or not of the model's `hidden_size`.
    """
    if problems := [*_name_problems(data, modality, fields)]:
        raise InputError(problems)
    given = {name: as_tensors(value, f"{modality}.{name}") for name, value in data.items() if value is not None}
    items = _cut(given, modality, fields)
    read_each(items[fields.rows], partial(check_rows, hidden_size=hidden_size), modality=modality)
    return DictEmbeddingItems(given, items, modality=modality, rows=fields.rows)


def _name_problems(data: Mapping[str, object], modality: str, fields: EmbedFields) -> Iterator[Problem]:
    required = (fields.rows, *fields.required)
    known = (*required, *fields.optional)
    for name in data:
        if name not in known:
            yield Problem(f"no such field of embeds{suggest(name, known)}", f"{modality}.{name}")
    for name in required:
        if data.get(name) is None:
            yield Problem("is missing, and embeds of this model need it", f"{modality}.{name}")


def _cut(data: Fields, modality: str, fields: EmbedFields) -> dict[str, list[NestedTensors]]:
    try:
        configs = fields.cut(data)
        elems = {name: configs[name].build_elems(name, value) or [] for name, value in data.items()}
    except Exception as error:  # whatever sizes make of fields that they do not fit
        raise InputError(f"the fields of the embeds cannot be cut into items: {error}", path=modality) from error
    items = {name: [elem.data for elem in each] for name, each in elems.items()}
    if len({len(each) for each in items.values()}) > 1:
        counts = ", ".join(f"{name} {len(each)}" for name, each in items.items())
        raise InputError(f"the fields have different numbers of items: {counts}", path=modality)
    return items
