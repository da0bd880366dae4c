"""Pages and turns at random: whatever comes and goes, and whatever is in flight, no page is lost or shared wrongly."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate, chain

import pytest
import torch
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from torch import Tensor

from tests.runner.turns import Memory, entry, known
from triptych.errors import TriptychError
from triptych.kernels.attention import Reach
from triptych.parts.cache_layout import Group
from triptych.runner.entry import Entry
from triptych.runner.prefix import BLOCK
from triptych.runner.tables import GONE

REACHES = [
    Reach(),
    Reach(),
    Reach(),
    Reach(window=1),
    Reach(window=20),
    Reach(window=50),
    Reach(chunk=8),
    Reach(chunk=40),
]
GROUPS = st.lists(
    st.builds(Group, st.just(()), st.sampled_from(REACHES), st.sampled_from([BLOCK, 2 * BLOCK, 8 * BLOCK]), st.just(1)),
    min_size=1,
    max_size=3,
)


class Free:
    """A form that allows every token; the host has to know those before."""

    def allowed(self) -> Tensor:
        return torch.ones(8, dtype=torch.bool)


class Engine(RuleBasedStateMachine):
    """Requests come, go and are cancelled at random, in caches of random groups and sizes."""

    @initialize(
        groups=GROUPS,
        longest=st.integers(20, 200),
        more=st.integers(0, 6),
        seqs=st.sampled_from([1, 2, 3, 5]),
        tokens=st.sampled_from([1, 7, 40, 1000]),
        states=st.sampled_from([False, False, True]),
        depth=st.integers(0, 1),
    )
    def begin(
        self, *, groups: list[Group], longest: int, more: int, seqs: int, tokens: int, states: bool, depth: int
    ) -> None:
        self.longest = longest
        self.whole = min(30, tokens)  # tokens at the most that are read in one step
        pages = sum(group.pages(longest, new=self.whole) for group in groups) + more
        self.memory = Memory(pages=pages, groups=groups, seqs=seqs, tokens=tokens, states=states, depth=depth)
        self.entries: list[Entry] = []
        self.known: dict[bytes, list[int]] = {}

    @rule(
        kinds=st.lists(st.integers(0, 2), min_size=1, max_size=5),
        length=st.one_of(st.integers(1, 20), st.integers(1, 90)),
        shared=st.integers(0, 80),
        items=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 30)), max_size=3),
        formed=st.sampled_from([False, False, False, True]),
    )
    def add(self, *, kinds: list[int], length: int, shared: int, items: list[tuple[int, int]], formed: bool) -> None:
        """Prompts of three kinds, so that many begin alike; parts of some are whole, and few answers are of a form."""
        for kind in kinds:
            start = [(kind * 7 + row) % 5 for row in range(min(shared, length))]
            tokens = (start + [9] * (length - len(start)))[: self.longest - 8]
            each = entry(tokens, limit=self.longest - len(tokens), form=Free() if formed else None)
            bounds = [*accumulate(min(part, self.whole) if at % 2 else part for at, part in enumerate(chain(*items)))]
            each.whole = tuple(
                range(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=True) if pair[1] <= len(tokens)
            )
            self.entries.append(each)
            self.memory.scheduler.add(each)

    @rule(steps=st.integers(1, 40))
    def run(self, steps: int) -> None:
        for _ in range(steps if self.here else 1):
            self.memory.step()
            self._end_those_of(self.longest)

    @rule(rest=st.integers(0, 40))
    def stop(self, rest: int) -> None:
        """Those that have come so far end, which is seen only when their tokens have landed."""
        self.memory.step()
        self._end_those_of(self.longest - rest)

    @precondition(lambda self: any(not each.log.ended for each in self.here))
    @rule(data=st.data(), failed=st.sampled_from([False, False, True]))
    def end(self, *, data: st.DataObject, failed: bool) -> None:
        """One is cancelled, or fails, while it runs, flies or waits."""
        each = data.draw(st.sampled_from([each for each in self.here if not each.log.ended]))
        each.log.error = TriptychError("it failed") if failed else None
        self.memory.end(each)

    def _end_those_of(self, length: int) -> None:
        for each in self.here:
            if not each.log.ended and len(known(each)) >= length:
                self.memory.end(each)

    @property
    def here(self) -> list[Entry]:
        """Those whose pages did not go back yet; in flight, who has ended is here too."""
        self.entries = [each for each in getattr(self, "entries", []) if each.ahead or not each.log.ended]
        return self.entries

    @invariant()
    def every_request_finds_its_own_rows(self) -> None:
        for each in self.here:
            self.memory.check(each, each.rows, each.rows)

    @invariant()
    def no_page_is_lost_and_each_has_as_many_users_as_tables_that_name_it(self) -> None:
        if not hasattr(self, "memory"):
            return
        pool = self.memory.pool
        users = Counter(page for each in self.here for table in each.tables for page in table if page != GONE)
        assert all(pool.users(page) == users[page] for page in range(pool.pages))
        assert pool.available == pool.pages - len(users)

    @invariant()
    def none_keeps_more_than_it_may_need_to_its_end(self) -> None:
        for each in self.here:
            for group, table in zip(self.memory.groups, each.tables, strict=bool(each.tables)):
                new = min(self.memory.tokens, len(each.tokens))
                assert len(table) - table.count(GONE) <= group.pages(len(each.tokens), new=new)

    @invariant()
    def what_is_known_stands_where_it_is_said_to(self) -> None:
        for each in self.here:
            for number, name in enumerate(each.names.of(tokens := known(each), len(tokens))):
                self.known[name] = tokens[: (number + 1) * BLOCK]
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
            if not self.here:
                return
            self.memory.step()
            for each in self.here:
                if not each.log.ended and len(known(each)) >= each.prompt_length + 3:
                    self.memory.end(each)
        raise AssertionError("somebody waits for ever")


TestEngine = Engine.TestCase
TestEngine.settings = settings(
    max_examples=100, stateful_step_count=100, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)  # shrinking takes minutes, and tells no more


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("pages", range(4, 9))
def test_nobody_makes_way_whose_tokens_are_in_flight(groups: int, pages: int) -> None:
    layout = [Group((), Reach(), BLOCK, 1)] * groups
    memory = Memory(pages=pages * groups + groups - 1, groups=layout, seqs=4, tokens=100, depth=1)
    for length in (10, 14, 16, 30):
        memory.scheduler.add(entry([length] * length))
    plans = [memory.step() for _ in range(30)]
    assert any(plan.stopped for plan in plans)
