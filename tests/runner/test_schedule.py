"""Pages and turns: whatever comes and goes, every request finds its own rows, and no page is lost or shared wrongly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, chain
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from triptych.inputs.prompt import Prompt
from triptych.kernels.attention import Reach
from triptych.parts.cache_layout import Group
from triptych.runner.entry import Entry
from triptych.runner.event import Log
from triptych.runner.options import SamplingOptions
from triptych.runner.pages import PagePool, Place
from triptych.runner.prefix import BLOCK
from triptych.runner.request import Request
from triptych.runner.schedule import Plan, Scheduler
from triptych.runner.tables import GONE, PageTables


def entry(tokens: list[int], **options: Any) -> Entry:
    answer: Any = SimpleNamespace(token_ids=[])
    return Entry.of(0, Request(Prompt(tuple(tokens)), SamplingOptions(**options)), answer, None, Log())


class Memory:
    """What a cache would hold: the group and token of each row, and all tokens of each state, as plans say."""

    def __init__(
        self, *, pages: int, page: int = 16, seqs: int, tokens: int, groups: Sequence[Group] = (), states: bool = False
    ) -> None:
        self.groups = groups or [Group((), Reach(), page, 1)]
        self.pool = PagePool(pages)
        tables = PageTables(self.pool, self.groups, reuse=not states)
        self.scheduler = Scheduler(tables, seqs=seqs, tokens=tokens)
        longest = max(group.page for group in self.groups)
        self.rows: list[list[tuple[int, int] | None]] = [[None] * longest for _ in range(pages)]
        self.states = [list[int]() for _ in range(seqs)] if states else []
        self.seqs, self.tokens = seqs, tokens

    def step(self) -> Plan:
        """Run the next step; whoever draws a token gets its own length as one."""
        plan = self.scheduler.plan()
        for copy in plan.copies:
            self.rows[copy.to][: copy.source.rows] = self.rows[copy.source.page][: copy.source.rows]
        assert len(plan.writers) + sum(chunk.count for chunk in plan.chunks) <= self.tokens
        computed = [(each, each.rows, 1) for each in plan.writers]
        for chunk in plan.chunks:
            stop = chunk.entry.read + chunk.count
            assert not any(each.start < stop < each.stop for each in chunk.entry.whole), "something whole is cut"
        computed += [(chunk.entry, chunk.entry.read, chunk.count) for chunk in plan.chunks]
        assert computed or not self.scheduler.waiting
        for each, start, count in computed:
            self._write(each, start, each.tokens[start : start + count])
        for each, start, count in computed:
            self.check(each, start, start + count)
        drawing = [*plan.writers, *(chunk.entry for chunk in plan.chunks if self.scheduler.advance(chunk))]
        for each in drawing:
            each.tokens.append(len(each.tokens) % 3)
        return plan

    def _write(self, each: Entry, start: int, tokens: list[int]) -> None:
        for number, group in enumerate(self.groups):
            for row, token in enumerate(tokens, start):
                page = each.tables[number][row // group.page]
                assert self.pool.users(page) == 1, "rows are written to a page that others use"
                self.rows[page][row % group.page] = (number, token)
        if self.states:
            before = self.states[each.slot] if start else []
            self.states[each.slot] = before + tokens
            assert self.states[each.slot] == each.tokens[: start + len(tokens)]

    def check(self, each: Entry, first: int, stop: int) -> None:
        """All that the rows from one to another see is there, in every group."""
        for number, group in enumerate(self.groups):
            for row in range(group.reach.start(first), stop):
                page = each.tables[number][row // group.page]
                assert page != GONE, "a page went back that is still seen"
                assert self.rows[page][row % group.page] == (number, each.tokens[row])


REACHES = [Reach(), Reach(window=1), Reach(window=20), Reach(window=50), Reach(chunk=8), Reach(chunk=40)]
GROUPS = st.lists(
    st.builds(Group, st.just(()), st.sampled_from(REACHES), st.sampled_from([BLOCK, 2 * BLOCK, 8 * BLOCK]), st.just(1)),
    min_size=1,
    max_size=3,
)


class Engine(RuleBasedStateMachine):
    """Requests come, go and are cancelled at random, in caches of random groups and sizes."""

    @initialize(
        groups=GROUPS,
        longest=st.integers(20, 200),
        more=st.integers(0, 12),
        seqs=st.integers(1, 5),
        tokens=st.sampled_from([1, 7, 40, 1000]),
        states=st.sampled_from([False, False, True]),
    )
    def begin(self, *, groups: list[Group], longest: int, more: int, seqs: int, tokens: int, states: bool) -> None:
        self.longest = longest
        self.whole = min(30, tokens)  # tokens at the most that are read in one step
        pages = sum(group.pages(longest, new=self.whole) for group in groups) + more
        self.memory = Memory(pages=pages, groups=groups, seqs=seqs, tokens=tokens, states=states)
        self.entries: list[Entry] = []
        self.known: dict[bytes, list[int]] = {}

    @rule(
        kind=st.integers(0, 2),
        length=st.integers(1, 90),
        shared=st.integers(0, 80),
        items=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 30)), max_size=3),
    )
    def add(self, kind: int, length: int, shared: int, items: list[tuple[int, int]]) -> None:
        """Prompts of three kinds, so that many begin alike; parts of some are whole."""
        start = [(kind * 7 + row) % 5 for row in range(min(shared, length))]
        tokens = (start + [9] * (length - len(start)))[: self.longest - 8]
        each = entry(tokens)
        bounds = [*accumulate(min(part, self.whole) if at % 2 else part for at, part in enumerate(chain(*items)))]
        each.whole = tuple(
            range(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=True) if pair[1] <= len(tokens)
        )
        self.entries.append(each)
        self.memory.scheduler.add(each)

    @rule(steps=st.integers(1, 20))
    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.memory.step()
            for each in [each for each in self.entries if len(each.tokens) >= self.longest]:
                self._drop(each)

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """One ends, or is cancelled while it runs or waits."""
        self._drop(data.draw(st.sampled_from(self.entries)))

    def _drop(self, each: Entry) -> None:
        self.memory.scheduler.drop(each)
        self.entries = [other for other in self.entries if other is not each]

    @invariant()
    def every_request_finds_its_own_rows(self) -> None:
        for each in getattr(self, "entries", []):
            self.memory.check(each, each.rows, each.rows)

    @invariant()
    def no_page_is_lost_and_each_has_as_many_users_as_tables_that_name_it(self) -> None:
        if not hasattr(self, "memory"):
            return
        pool = self.memory.pool
        users = Counter(page for each in self.entries for table in each.tables for page in table if page != GONE)
        assert all(pool.users(page) == users[page] for page in range(pool.pages))
        assert pool.available == pool.pages - len(users)

    @invariant()
    def none_keeps_more_than_it_may_need_to_its_end(self) -> None:
        for each in getattr(self, "entries", []):
            for group, table in zip(self.memory.groups, each.tables, strict=bool(each.tables)):
                new = min(self.memory.tokens, len(each.tokens))
                assert len(table) - table.count(GONE) <= group.pages(len(each.tokens), new=new)

    @invariant()
    def what_is_known_stands_where_it_is_said_to(self) -> None:
        for each in getattr(self, "entries", []):
            for number, name in enumerate(each.names.of(each.tokens, len(each.tokens))):
                self.known[name] = each.tokens[: (number + 1) * BLOCK]
        for name, tokens in getattr(self, "known", {}).items():
            for number, group in enumerate(self.memory.groups):
                if place := self.memory.pool.find((number, name)):
                    before = (len(tokens) - 1) // group.page * group.page
                    assert place.rows == len(tokens) - before
                    wanted = [(number, token) for token in tokens[before:]]
                    assert self.memory.rows[place.page][: place.rows] == wanted

    def teardown(self) -> None:
        """Who is left runs to an end: nobody waits for ever."""
        for _ in range(10_000):
            if not getattr(self, "entries", []):
                return
            self.memory.step()
            for each in [each for each in self.entries if len(each.tokens) >= each.prompt_length + 3]:
                self._drop(each)
        raise AssertionError("somebody waits for ever")


TestEngine = Engine.TestCase
TestEngine.settings = settings(
    max_examples=100, stateful_step_count=100, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)  # shrinking takes minutes, and tells no more


def test_prompts_are_read_in_chunks_and_hold_nobody_up() -> None:
    memory = Memory(pages=8, page=64, seqs=4, tokens=10)
    short, long = entry([1, 2, 3]), entry([5] * 40)
    for each in (short, long):
        memory.scheduler.add(each)
    steps = [memory.step() for _ in range(6)]
    assert [[chunk.count for chunk in plan.chunks] for plan in steps] == [[3, 7], [9], [9], [9], [6], []]
    assert [len(plan.writers) for plan in steps] == [0, 1, 1, 1, 1, 2]


def test_the_youngest_makes_way_and_begins_again_where_it_was() -> None:
    memory = Memory(pages=4, page=16, seqs=2, tokens=100)
    old, young = entry([1] * 30), entry([2] * 30)
    for each in (old, young):
        memory.scheduler.add(each)
    plans = [memory.step() for _ in range(4)]
    assert [[each for each, _ in plan.stopped] for plan in plans] == [[], [], [], [young]]
    assert young.slot is None
    assert len(young.tokens) == 33
    while len(old.tokens) < 60:
        memory.step()
    memory.scheduler.drop(old)
    (plan,) = [memory.step()]
    assert plan.started == [young]
    memory.check(young, young.rows, young.rows)
    assert young.rows == len(young.tokens) - 1


def test_rows_that_are_there_are_not_computed_again() -> None:
    memory = Memory(pages=20, page=16, seqs=4, tokens=1000)
    first, second = entry([*range(40), 7]), entry([*range(40), 8, 9])
    memory.scheduler.add(first)
    memory.step()
    memory.scheduler.add(second)
    plan = memory.step()
    assert [(chunk.entry, chunk.count) for chunk in plan.chunks] == [(second, 42 - 32)]
    assert second.tables[0][:2] == first.tables[0][:2]
    assert not plan.copies


def test_the_last_token_is_always_computed() -> None:
    memory = Memory(pages=20, page=16, seqs=4, tokens=1000)
    for length in (32, 32, 33):
        memory.scheduler.add(each := entry([1] * length))
        (chunk,) = memory.step().chunks
        assert chunk.entry is each
    assert chunk.count == 1
    assert each.tables[0][1] != each.tables[0][2]


def test_who_comes_later_finds_what_others_have_written_though_it_is_named_only_then() -> None:
    memory = Memory(pages=20, page=16, seqs=4, tokens=1000)
    first = entry([*range(20)])
    memory.scheduler.add(first)
    for _ in range(30):
        memory.step()
    assert not first.learned
    memory.scheduler.add(second := entry([*first.tokens[:48], 8]))
    (chunk,) = memory.step().chunks
    assert chunk.entry is second
    assert chunk.count == 1
    memory.scheduler.drop(first)
    memory.scheduler.add(third := entry([*first.tokens[:48], 9]))
    (chunk,) = memory.step().chunks
    assert chunk.entry is third
    assert chunk.count == 1


def test_of_a_page_in_use_what_is_alike_is_copied_and_one_that_is_free_goes_on() -> None:
    memory = Memory(pages=3, page=64, seqs=4, tokens=1000)
    first, second, third = (entry([*range(40), last]) for last in (7, 8, 9))
    memory.scheduler.add(first)
    memory.step()
    memory.scheduler.add(second)
    plan = memory.step()
    assert [(copy.source, copy.to) for copy in plan.copies] == [(Place(first.tables[0][0], 32), second.tables[0][0])]
    for each in (first, second):
        memory.scheduler.drop(each)
    memory.scheduler.add(third)
    plan = memory.step()
    assert [chunk.count for chunk in plan.chunks] == [41 - 32]
    memory.check(third, third.rows, third.rows)
    assert third.rows == len(third.tokens) - 1


def test_where_every_position_is_asked_for_nothing_is_reused() -> None:
    memory = Memory(pages=8, page=16, seqs=4, tokens=1000)
    for each in (entry([1] * 40), entry([1] * 40, prompt_logprobs=0)):
        memory.scheduler.add(each)
        (chunk,) = memory.step().chunks
        assert chunk.count == 40


def test_a_request_without_a_seed_gets_one_that_it_keeps() -> None:
    one, other = entry([1]), entry([1])
    assert one.options.seed is not None
    assert one.options.seed != other.options.seed
    assert entry([1], seed=3).options.seed == 3


def test_items_tell_blocks_apart() -> None:
    from triptych.inputs.items import MultiModalFeatureSpec
    from triptych.inputs.placeholders import PlaceholderRange
    from triptych.runner.prefix import BlockNames

    def names(identifier: str, offset: int) -> list[bytes]:
        place = PlaceholderRange(offset, 4)
        feature = MultiModalFeatureSpec(data=None, modality="image", identifier=identifier, mm_position=place)
        return [*BlockNames([feature]).of([0] * 64, 64)]

    one, other, later = names("a", 20), names("b", 20), names("a", 21)
    assert one[0] == other[0] == later[0]
    assert len({one[1], other[1], later[1]}) == 3
    assert len({one[3], other[3], later[3]}) == 3  # what stands before tells too
    assert names("a", 20) == one


@pytest.mark.parametrize("page", [16, 2048])
def test_what_writes_is_not_looked_at_in_every_step(page: int) -> None:
    memory = Memory(pages=64, page=page, seqs=4, tokens=100)
    each = entry([1] * 10)
    memory.scheduler.add(each)
    memory.step()
    asked = []
    find = memory.scheduler._serve
    memory.scheduler._serve = lambda *args: asked.append(find(*args))  # type: ignore[method-assign]
    for _ in range(160):
        memory.step()
    assert len(asked) <= 12


def test_what_is_whole_is_read_in_one_step_that_has_room_for_it() -> None:
    memory = Memory(pages=8, page=64, seqs=4, tokens=10)
    first, second, third = entry([1] * 3), entry([2] * 16), entry([3] * 2)
    second.whole = (range(4, 14),)
    for each in (first, second, third):
        memory.scheduler.add(each)
    steps = [memory.step() for _ in range(3)]
    assert [[(chunk.entry, chunk.count) for chunk in plan.chunks] for plan in steps] == [
        [(first, 3), (second, 4)],
        [],
        [],
    ]
    assert third.slot is None  # whoever comes later does not go before it
    memory.scheduler.drop(first)
    steps = [memory.step() for _ in range(2)]
    assert [[(chunk.entry, chunk.count) for chunk in plan.chunks] for plan in steps] == [
        [(second, 10)],
        [(second, 2), (third, 2)],
    ]


def test_what_is_whole_is_found_whole_or_not_at_all() -> None:
    memory = Memory(pages=20, page=16, seqs=4, tokens=1000)
    memory.scheduler.add(entry([*range(64), 7]))
    memory.step()
    for whole, found in (
        (range(20, 40), 48),
        (range(40, 48), 48),
        (range(47, 49), 32),
        (range(20, 50), 16),
        (range(50), 0),
    ):
        each = entry([*range(50), 8])
        each.whole = (whole,)
        memory.scheduler.add(each)
        (chunk,) = memory.step().chunks
        assert len(each.tokens) - 1 - chunk.count == found
        memory.scheduler.drop(each)


def test_a_prompt_is_read_as_far_as_there_are_pages_and_none_goes_before_it() -> None:
    memory = Memory(pages=6, groups=[Group((), Reach(window=20), 16, 1)], seqs=4, tokens=40)
    each, later = entry([1] * 100), entry([2] * 3)
    each.whole = (range(50, 80),)
    memory.scheduler.add(each)
    memory.step()
    held = [memory.pool.take() for _ in range(3)]  # as others do
    memory.scheduler.add(later)
    steps = [memory.step(), memory.scheduler.plan()]
    assert [[chunk.count for chunk in plan.chunks] for plan in steps] == [[10], []]
    assert later.slot is None
    for page in held:
        memory.pool.release(page)
    (chunk, *_) = memory.step().chunks
    assert (chunk.entry, chunk.count) == (each, 40)


def test_a_request_begins_when_there_are_pages_for_all_that_it_reads_at_once() -> None:
    memory = Memory(pages=4, groups=[Group((), Reach(window=20), 16, 1)], seqs=4, tokens=40)
    each = entry([1] * 100)
    each.whole = (range(50, 80),)
    held = memory.pool.take()
    memory.scheduler.add(each)
    assert memory.scheduler.plan().chunks == []
    memory.pool.release(held)
    while each.read < 100:
        memory.step()
