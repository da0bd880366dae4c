"""What processing made of items, kept by their names until the room is needed."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock

from torch import Tensor

from triptych.arguments import check_arguments
from triptych.errors import OptionError, TriptychWarning
from triptych.inputs.items import MultiModalKwargsItem
from triptych.inputs.nested import NestedTensors
from triptych.inputs.updates import ResolvedPromptUpdate

NUMBER = 8  # bytes of a token id in a list, at the least


class CacheWarning(TriptychWarning):
    """An item is too large to be kept."""


@dataclass(frozen=True, eq=False)
class ProcessedItem:
    """Tensors of one item, the updates that are tried for it in a prompt, and its rows where a formula tells them."""

    data: MultiModalKwargsItem
    updates: tuple[ResolvedPromptUpdate, ...]
    rows: int | None = None

    @property
    def nbytes(self) -> int:
        """How much memory it takes, about."""
        tokens = sum(len(update.content.full) for update in self.updates)
        return NUMBER * tokens + sum(_nbytes(elem.data) for elem in self.data.values())

    def bound(self, index: int) -> list[ResolvedPromptUpdate]:
        """The updates as those of the item of that index in a prompt."""
        return [replace(update, item_idx=index) for update in self.updates]

    def detached(self) -> ProcessedItem:
        """The same in memory of its own: of items that are views of one batch, one would keep that of all."""
        elems = {key: replace(elem, data=_own(elem.data)) for key, elem in self.data.items()}
        return replace(self, data=MultiModalKwargsItem(elems))


class ProcessorCache:
    """Processed items, `capacity` bytes of them; those that were not asked for longest make room first.

    An item that was got stays with whoever holds it, so that none has to be marked as in use. Threads may share it.
    Raises OptionError for a capacity below 0.
    """

    def __init__(self, capacity: int) -> None:
        check_arguments(capacity=(capacity, int))
        if capacity < 0:
            raise OptionError(f"0 bytes or more are wanted, not {capacity}", path="capacity")
        self.capacity, self.nbytes = capacity, 0
        self._items: OrderedDict[tuple[str, str], ProcessedItem] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, modality: str, names: Sequence[str]) -> list[ProcessedItem | None]:
        """What is kept of the items of these names; None for one that is not."""
        with self._lock:
            found = [self._items.get((modality, name)) for name in names]
            for name, item in zip(names, found, strict=True):
                if item is not None:
                    self._items.move_to_end((modality, name))
            return found

    def put(self, modality: str, name: str, item: ProcessedItem) -> None:
        """Keep an item; one that is larger than all the room is told with a warning, and not kept."""
        own = item.detached()
        if (size := own.nbytes) > self.capacity:
            message = (
                f"an item of {modality} takes {size:,} bytes, and the cache of processed items has {self.capacity:,}"
            )
            warnings.warn(f"{message}; it is not kept", CacheWarning, stacklevel=2)
            return
        with self._lock:
            self._drop((modality, name))
            self._items[modality, name] = own
            self.nbytes += size
            while self.nbytes > self.capacity:
                self._drop(next(iter(self._items)))

    def _drop(self, key: tuple[str, str]) -> None:
        if (item := self._items.pop(key, None)) is not None:
            self.nbytes -= item.nbytes


def _nbytes(data: NestedTensors) -> int:
    return data.nbytes if isinstance(data, Tensor) else sum(map(_nbytes, data))


def _own(data: NestedTensors) -> NestedTensors:
    if not isinstance(data, Tensor):
        return [_own(each) for each in data]
    return data.clone() if data.untyped_storage().nbytes() > data.nbytes else data
