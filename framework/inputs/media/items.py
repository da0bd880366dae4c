"""The items of a prompt by modality: what the feature extractor is given of them, and what passes by it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import ClassVar, Generic, Self, TypeVar

from triptych.arguments import check_arguments
from triptych.errors import InputError, InputTypeError, suggest
from triptych.inputs.media.originals import Original

Item_co = TypeVar("Item_co", covariant=True)


class ModalityDataItems(ABC, Generic[Item_co]):
    """The items of one modality, in order. One that is known by its id alone, as it is cached, is None.

    One that is an `Original` is read when it is asked for.
    """

    def __init__(self, items: Sequence[Item_co | Original[Item_co] | None], *, modality: str) -> None:
        check_arguments(InputTypeError, items=(items, Sequence), modality=(modality, str))
        self.modality = modality
        self._items = tuple(items)

    def get_count(self) -> int:
        """How many items there are, with those that are known by their ids alone."""
        return len(self._items)

    def get(self, index: int) -> Item_co | None:
        """An item; None for one that is known by its id alone."""
        found = self._items[index]
        return found.value if isinstance(found, Original) else found

    def is_absent(self, index: int) -> bool:
        """Whether an item is known by its id alone."""
        return self._items[index] is None

    def content(self, index: int) -> object:
        """What an item is named by, for which it is not read: the item, or what it was given as."""
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item_co | None]:
        return map(self.get, range(len(self)))

    def given(self, index: int) -> Item_co:
        """An item. Raises InputError for one that is known by its id alone."""
        if (item := self.get(index)) is None:
            raise InputError(f"is known by its id alone; give the {self.modality}", path=f"{self.modality}[{index}]")
        return item

    @abstractmethod
    def get_processor_data(self) -> Mapping[str, object]:
        """What the feature extractor is given. Raises InputError when an item is known by its id alone."""

    @abstractmethod
    def get_passthrough_data(self) -> Mapping[str, object]:
        """What goes to the model as it is. Raises InputError when an item is known by its id alone."""

    def _all_given(self) -> list[Item_co]:
        return [self.given(index) for index in range(len(self))]


class ProcessorItems(ModalityDataItems[Item_co]):
    """Items that a feature extractor reads, all together under the keyword `key`."""

    key: ClassVar[str]

    def get_processor_data(self) -> Mapping[str, object]:
        return {self.key: self._all_given()} if len(self) else {}

    def get_passthrough_data(self) -> Mapping[str, object]:
        return {}

    def select(self, indices: Sequence[int]) -> Self:
        """Some of the items, in this order: those that no cache holds."""
        found = copy(self)
        found._items = tuple(self._items[index] for index in indices)
        return found


Items_co = TypeVar("Items_co", bound=ModalityDataItems[object], covariant=True)
Wanted = TypeVar("Wanted", bound=ModalityDataItems[object])


class MultiModalDataItems(Mapping[str, ModalityDataItems[object]]):
    """The items of each modality that a prompt brings."""

    def __init__(self, items: Mapping[str, ModalityDataItems[object]]) -> None:
        check_arguments(InputTypeError, items=(items, Mapping))
        self._items = dict(items)

    def __getitem__(self, modality: str) -> ModalityDataItems[object]:
        return self._items[modality]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def get_count(self, modality: str) -> int:
        """How many items of a modality there are; 0 for one that the prompt does not bring."""
        return len(self._items.get(modality, ()))

    def get_all_counts(self) -> dict[str, int]:
        """How many items there are of each modality that the prompt brings."""
        return {modality: len(items) for modality, items in self._items.items()}

    def get_items(self, modality: str, kind: type[Wanted]) -> Wanted:
        """The items of a modality, as the kind that they must be: raw ones or embeds.

        Raises InputError when there are none, InputTypeError when they are of another kind.
        """
        if (items := self._items.get(modality)) is None:
            raise InputError(f"the prompt has no such items{suggest(modality, self._items)}", path=modality)
        if not isinstance(items, kind):
            raise InputTypeError(f"is {type(items).__name__}, and {kind.__name__} are wanted", path=modality)
        return items
