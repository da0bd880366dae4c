"""What processing made of items, kept by their names until the room is needed."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TypeAlias

from torch import Tensor

from triptych.errors import OptionError, TriptychWarning
from triptych.inputs.items import MultiModalKwargsItem
from triptych.inputs.nested import NestedTensors
from triptych.inputs.processing.shelf import Shelf
from triptych.inputs.updates import ResolvedPromptUpdate

NUMBER = 8  # bytes of a token id in a list, at the least

Key: TypeAlias = tuple[Hashable, str, str]
"""Who reads an item, its modality, its name."""


class CacheWarning(TriptychWarning):
    """An item is too large to be kept."""


@dataclass(frozen=True, eq=False)
class ProcessedItem:
    """Tensors of one item, the updates that are tried for it in a prompt, and its rows where a formula tells them.

    `data` is None where a receiver keeps them.
    """

    data: MultiModalKwargsItem | None
    updates: tuple[ResolvedPromptUpdate, ...]
    rows: int | None = None

    @property
    def nbytes(self) -> int:
        """How much memory it takes, about."""
        tokens = sum(len(update.content.full) for update in self.updates)
        return NUMBER * tokens + (bytes_of(self.data) if self.data is not None else 0)

    def bound(self, index: int) -> list[ResolvedPromptUpdate]:
        """The updates as those of the item of that index in a prompt."""
        return [replace(update, item_idx=index) for update in self.updates]

    def detached(self) -> ProcessedItem:
        """The same in memory of its own."""
        return replace(self, data=detached(self.data) if self.data is not None else None)


class ProcessorCache:
    """Processed items, `capacity` bytes of them; those that were not asked for longest make room first.

    The processors of several models, and of several engines, may have one: they share its room, and one finds what
    another made only where both read items alike. Threads may share it. Raises OptionError for a capacity below 0.
    """

    def __init__(self, capacity: int) -> None:
        self._shelf: Shelf[Key, ProcessedItem] = Shelf(capacity)

    @property
    def capacity(self) -> int:
        """The most bytes that are kept."""
        return self._shelf.capacity

    @property
    def nbytes(self) -> int:
        """How many bytes are kept."""
        return self._shelf.nbytes

    def __len__(self) -> int:
        return len(self._shelf)

    def bind(self, reader: Hashable) -> None:
        """Take in a processor that reads items as `reader` says."""

    def using(self, keys: Collection[Key]) -> AbstractContextManager[dict[Key, ProcessedItem]]:
        """What is kept of the items of these keys; none of them is dropped before the context ends."""
        return self._shelf.using(keys)

    def put(self, key: Key, item: ProcessedItem) -> None:
        """Keep an item; one that is larger than all the room is told with a warning, and not kept."""
        own = item.detached()
        self._put(key, own, own.nbytes)

    def _put(self, key: Key, item: ProcessedItem, size: int) -> None:
        if not self._shelf.put(key, item, nbytes=size):
            warn_too_large(key[1], size, self.capacity)


class SenderCache(ProcessorCache):
    """What a processor keeps whose items go to a `ReceiverCache`: of each what it does to a prompt, but no tensors.

    An item that the receiver has goes there without data. Both count the bytes of its tensors, so that with equal
    `capacity` they drop the same. It serves one processor.
    """

    _reader: Hashable = None

    def bind(self, reader: Hashable) -> None:
        """Take in the processor. Raises OptionError for a second one, whose items the receiver could not tell apart."""
        if self._reader not in (None, reader):
            raise OptionError("a SenderCache serves one processor; give each its own, and a receiver beside it")
        self._reader = reader

    def put(self, key: Key, item: ProcessedItem) -> None:
        """Keep what is beside the data of an item."""
        assert item.data is not None
        self._put(key, replace(item, data=None), bytes_of(item.data))

    def forget(self, hashes: Collection[str]) -> None:
        """Send the data of these items again: the receiver has lost them."""
        self._shelf.forget(lambda key: key[2] in hashes)


def warn_too_large(modality: str, size: int, capacity: int) -> None:
    """Warn of an item that no room is large enough for."""
    message = f"an item of {modality} takes {size:,} bytes, and the cache of processed items has {capacity:,}"
    warnings.warn(f"{message}; it is not kept", CacheWarning, stacklevel=4)


def bytes_of(item: MultiModalKwargsItem) -> int:
    """How much memory the tensors of an item take."""
    return sum(_nbytes(elem.data) for elem in item.values())


def detached(item: MultiModalKwargsItem) -> MultiModalKwargsItem:
    """The same in memory of its own: of items that are views of one batch, one would keep that of all."""
    return MultiModalKwargsItem({key: replace(elem, data=_own(elem.data)) for key, elem in item.items()})


def _nbytes(data: NestedTensors) -> int:
    return data.nbytes if isinstance(data, Tensor) else sum(map(_nbytes, data))


def _own(data: NestedTensors) -> NestedTensors:
    if not isinstance(data, Tensor):
        return [_own(each) for each in data]
    return data.clone() if data.untyped_storage().nbytes() > data.nbytes else data
