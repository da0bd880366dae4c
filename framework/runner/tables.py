"""Which pages have the rows of each request: a table for every group of mixers that forget alike."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from triptych.parts.cache_layout import Group
from triptych.runner.entry import Entry
from triptych.runner.pages import PagePool, Place
from triptych.runner.prefix import BLOCK

GONE = -1  # in a table: a page of rows that nobody will look at again, which went back


@dataclass(frozen=True, slots=True)
class Copy:
    """Rows of one page of a group that another page begins with."""

    group: int
    source: Place
    to: int


class PageTables:
    """The pages of requests, of one pool for all groups.

    A request takes the pages of its whole prompt where nothing is forgotten, else those of the rows that are computed
    next; pages behind what is still to be seen go back. With `reuse`, what stands in a page can be found by others.
    """

    def __init__(self, pool: PagePool, groups: Sequence[Group], *, reuse: bool = True) -> None:
        self.pool, self._groups, self._reuse = pool, tuple(groups), reuse
        self._sizes = [(group.page, group.reach.rows is None) for group in groups]
        self._forgetting = [(number, group) for number, group in enumerate(groups) if group.reach.rows is not None]
        self._keeping = [number for number, group in enumerate(groups) if group.reach.rows is None]

    @property
    def groups(self) -> int:
        """How many tables a request has."""
        return len(self._groups)

    def begin(self, entry: Entry) -> list[Copy] | None:
        """Give a request the rows that are there already -> what is to be copied; None where pages do not suffice.

        They suffice when it could be read to its end, were it alone from now on.
        """
        entry.tables = [[] for _ in self._groups]
        copies = self._find(entry) if self._reuse and entry.may_reuse else []
        if copies is None or self._to_the_end(entry) > self.pool.available:
            self.release(entry)
            return None
        return copies

    def most(self, entry: Entry, count: int) -> int:
        """How many more tokens of a prompt there are pages for, at most `count`."""
        self._forget(entry)
        read, available = entry.read, self.pool.available
        if sum(self._lacking(entry, read + count)) <= available:
            return count
        return bisect_right(range(1, count), available, key=lambda more: sum(self._lacking(entry, read + more)))

    def grow(self, entry: Entry, rows: int) -> bool:
        """Take pages for so many rows -> whether there were enough."""
        if self._forgetting:
            self._forget(entry)
        lacking = self._lacking(entry, rows)
        if sum(lacking) > self.pool.available:
            return False
        for table, count in zip(entry.tables, lacking, strict=True):
            for _ in range(count):
                table.append(self.pool.take())
        return True

    def spare(self, entry: Entry) -> int:
        """How many rows its pages have room for beside those that it has."""
        room = min([len(table) * page for (page, _), table in zip(self._sizes, entry.tables, strict=True)])
        return room - entry.rows

    def learn(self, entry: Entry) -> None:
        """What a request has filled since it was last asked can be found by others."""
        if not self._reuse or (blocks := entry.rows // BLOCK) == entry.learned:
            return
        names = entry.names.of(entry.tokens, blocks * BLOCK)
        for number, group in enumerate(self._groups):
            table, page = entry.tables[number], group.page
            for block in range(entry.learned, blocks):
                at, row = divmod(block * BLOCK, page)
                if table[at] != GONE:
                    self.pool.learn((number, names[block]), Place(table[at], row + BLOCK))
        entry.learned = blocks

    def alone(self, entry: Entry) -> list[int]:
        """The pages that nobody but this request uses."""
        pages = (page for table in entry.tables for page in table if page != GONE)
        return [page for page in pages if self.pool.users(page) == 1]

    def release(self, entry: Entry) -> None:
        """Its pages go back."""
        for table in entry.tables:
            for page in reversed(table):  # the end of a sequence is of less use to others than its start
                if page != GONE:
                    self.pool.release(page)
        entry.tables, entry.read, entry.learned = [], 0, 0

    def _lacking(self, entry: Entry, rows: int) -> list[int]:
        """How many pages of each group are to be taken for so many rows; where nothing is forgotten, for all tokens."""
        tokens, found = len(entry.tokens), []
        for (page, keeps), table in zip(self._sizes, entry.tables, strict=True):
            needed = ((tokens if keeps else rows) + page - 1) // page - len(table)
            found.append(needed if needed > 0 else 0)
        return found

    def _to_the_end(self, entry: Entry) -> int:
        """How many pages a request takes beside those it has, when it is read by as few tokens as may be."""
        held = (len(table) - table.count(GONE) for table in entry.tables)
        wanted = (group.pages(len(entry.tokens), new=entry.longest_whole) for group in self._groups)
        return sum(max(0, most - own) for most, own in zip(wanted, held, strict=True))

    def _forget(self, entry: Entry) -> None:
        """Give back the pages that no row sees which is still to come."""
        for number, group in self._forgetting:
            table = entry.tables[number]
            at = min(group.reach.start(entry.rows) // group.page, len(table)) - 1
            if at >= 0 and table[at] != GONE and at * group.page < entry.prompt_length:
                self.learn(entry)  # others may begin as a prompt does; answers are found by their ends
            while at >= 0 and table[at] != GONE:
                self.pool.release(table[at])
                table[at] = GONE
                at -= 1

    def _find(self, entry: Entry) -> list[Copy] | None:
        """Whole pages are shared, the last of each group in part is gone on with where it is free, else copied."""
        blocks, parts = self._known(entry), list[tuple[int, Place]]()
        entry.read, entry.learned = blocks * BLOCK, blocks
        for number, group in enumerate(self._groups):
            places = [place for place in self._places(entry, number, blocks) if place is not None]
            whole = [place.page for place in places if place.rows == group.page]
            parts += [(number, place) for place in places[len(whole) :]]
            for page in whole:
                self.pool.share(page)
            entry.tables[number] = [GONE] * (-(-entry.read // group.page) - len(places)) + whole
        return self._gone_on_with(entry, parts) if len(parts) <= self.pool.available else None

    def _gone_on_with(self, entry: Entry, parts: Sequence[tuple[int, Place]]) -> list[Copy]:
        """Give a request pages that begin with these rows."""
        copies: list[Copy] = []
        for _, place in parts:
            self.pool.share(place.page)  # lest another part takes it
        for number, place in parts:
            self.pool.release(place.page)
            page = place.page if self.pool.claim(place) else self.pool.take()
            if page != place.page:
                copies.append(Copy(number, place, page))
            entry.tables[number].append(page)
        return copies

    def _known(self, entry: Entry) -> int:
        """Of how many blocks all is known that a token after them sees; the last token is never among them."""
        most = (len(entry.tokens) - 1) // BLOCK
        names, blocks = entry.names.of(entry.tokens, most * BLOCK), most
        for number in self._keeping:
            find = self.pool.find
            blocks = next((at for at in range(blocks) if find((number, names[at])) is None), blocks)
        while blocks and not self._goes_on(entry, blocks):
            blocks -= 1
        return blocks

    def _goes_on(self, entry: Entry, blocks: int) -> bool:
        """Whether a request can begin after so many blocks: what it sees is there, and nothing whole is cut."""
        if entry.up_to(blocks * BLOCK) < blocks * BLOCK:
            return False
        return not any(None in self._places(entry, number, blocks) for number, _ in self._forgetting)

    def _places(self, entry: Entry, number: int, blocks: int) -> Iterator[Place | None]:
        """Where the rows of a group stand, page by page, that are seen after so many blocks; None for unknown ones."""
        group, rows, names = self._groups[number], blocks * BLOCK, entry.names.of(entry.tokens, blocks * BLOCK)
        for at in range(group.reach.start(rows) // group.page, -(-rows // group.page)):
            stop = min((at + 1) * group.page, rows)
            yield self.pool.find((number, names[stop // BLOCK - 1]))
