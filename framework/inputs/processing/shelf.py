"""Values by key in bounded memory: those that were not asked for longest make room, but none that is in use."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

from triptych.arguments import check_arguments
from triptych.errors import OptionError

K = TypeVar("K")
V = TypeVar("V")


class Shelf(Generic[K, V]):
    """Values of `capacity` bytes together. Threads may share it. Raises OptionError for a capacity below 0.

    What is kept depends on the order in which keys come into use, and on nothing that is done while they are: two
    shelves that are asked for the same keep the same.
    """

    def __init__(self, capacity: int) -> None:
        check_arguments(capacity=(capacity, int))
        if capacity < 0:
            raise OptionError(f"0 bytes or more are wanted, not {capacity}", path="capacity")
        self.capacity, self.nbytes = capacity, 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._marks: Counter[K] = Counter()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    @contextmanager
    def using(self, keys: Collection[K]) -> Iterator[dict[K, V]]:
        """What is kept under some of the keys. Whatever is there of them, or comes there, stays until the end."""
        wanted = dict.fromkeys(keys)
        with self._lock:
            self._marks.update([*wanted])
            found = {key: self._values[key][0] for key in wanted if key in self._values}
        try:
            yield found
        finally:
            with self._lock:
                self._release([*wanted])

    def put(self, key: K, value: V, *, nbytes: int) -> bool:
        """Keep a value; False for one that is larger than all the room, which is not kept."""
        with self._lock:
            self._drop(key)
            if nbytes > self.capacity:
                return False
            self._values[key] = value, nbytes
            self.nbytes += nbytes
            self._trim()
            return True

    def forget(self, which: Callable[[K], bool]) -> None:
        """Keep nothing under keys of which `which` says so."""
        with self._lock:
            for key in [*filter(which, self._values)]:
                self._drop(key)

    def _release(self, keys: Sequence[K]) -> None:
        self._marks.subtract(keys)
        self._marks = +self._marks  # without those that no one uses
        for key in sorted(keys, key=repr):  # the order of one prompt's items is not to matter
            if key in self._values:
                self._values.move_to_end(key)
        self._trim()

    def _trim(self) -> None:
        while self.nbytes > self.capacity:
            oldest = next((key for key in self._values if key not in self._marks), None)  # those in use are few
            if oldest is None:
                return
            self._drop(oldest)

    def _drop(self, key: K) -> None:
        if (found := self._values.pop(key, None)) is not None:
            self.nbytes -= found[1]
