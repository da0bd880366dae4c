"""The pages of a cache: which are free, which are used and by how many, and what is known of their rows."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from typing import NamedTuple

Name = tuple[int, bytes]  # of a group, and of a block


class Place(NamedTuple):
    """The first `rows` rows of a page."""

    page: int
    rows: int


class PagePool:
    """Pages handed out, shared and given back.

    A name tells the rows of a page from its first to some row, and all that stands before them in their sequence, so
    that rows under one name are the same rows. A page that nobody uses keeps its names until it is needed: those that
    were used last stay longest, and pages without names go first.
    """

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self._users = [0] * pages
        self._blank: list[int] = [
            *range(pages)
        ]  # free, without names; the lowest goes first, so that used ones lie together
        self._named: OrderedDict[int, None] = OrderedDict()  # free, with names
        self._places: dict[Name, Place] = {}
        self._names: dict[int, list[Name]] = {}
        heapify(self._blank)

    @property
    def available(self) -> int:
        """How many pages can be taken."""
        return len(self._blank) + len(self._named)

    def users(self, page: int) -> int:
        """How many use a page."""
        return self._users[page]

    def take(self) -> int:
        """A free page, whose names are forgotten. There has to be one."""
        if self._blank:
            page: int = heappop(self._blank)
        else:
            page, _ = self._named.popitem(last=False)
            self.forget(page, after=0)
        self._users[page] = 1
        return page

    def share(self, page: int) -> None:
        """One more uses a page that has names."""
        self._named.pop(page, None)
        self._users[page] += 1

    def release(self, page: int) -> None:
        """One fewer uses it."""
        assert self._users[page] > 0, f"page {page} is given back by nobody who has it"
        self._users[page] -= 1
        if not self._users[page]:
            if self._names.get(page):
                self._named[page] = None
            else:
                heappush(self._blank, page)

    def learn(self, name: Name, place: Place) -> None:
        """What stands in a page that is used; where a name is known, the place that had it first keeps it."""
        if name not in self._places:
            self._places[name] = place
            self._names.setdefault(place.page, []).append(name)

    def find(self, name: Name) -> Place | None:
        """Where the rows of this name stand."""
        return self._places.get(name)

    def claim(self, place: Place) -> bool:
        """Use a free page from the end of the place on, whose rows stay -> whether that is done.

        Not when someone uses it, nor when something would be lost that a page without names need not lose.
        """
        loses = any(self._places[name].rows > place.rows for name in self._names.get(place.page, ()))
        if self._users[place.page] or (loses and self._blank):
            return False
        self.share(place.page)
        self.forget(place.page, after=place.rows)
        return True

    def forget(self, page: int, *, after: int) -> None:
        """The names of what ends after this row of a page are no longer known."""
        names = self._names.pop(page, [])
        kept = [name for name in names if self._places[name].rows <= after]
        for name in set(names).difference(kept):
            del self._places[name]
        if kept:
            self._names[page] = kept
