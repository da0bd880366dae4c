"""A stand-in for a device: it does what plans say to pages of numbers, and draws tokens that are known beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from triptych.inputs.prompt import Prompt
from triptych.kernels.attention import Reach
from triptych.parts.cache_layout import Group
from triptych.runner import engine_state
from triptych.runner.engine_state import EngineState
from triptych.runner.entry import Entry
from triptych.runner.event import Log
from triptych.runner.flight import Flight, Landed
from triptych.runner.options import SamplingOptions
from triptych.runner.request import Request
from triptych.runner.schedule import Plan
from triptych.runner.tables import GONE

NEVER = 2**30


def entry(tokens: list[int], *, limit: int = NEVER, form: Any = None, **options: Any) -> Entry:
    """A request that waits; `limit` tokens at the most are drawn of it."""
    answer: Any = SimpleNamespace(token_ids=[], limit=limit)
    return Entry.of(0, Request(Prompt(tuple(tokens)), SamplingOptions(**options)), answer, form, Log())


def token_of(each: Entry, place: int) -> int:
    """The token that stands there, or will: all draws are known beforehand."""
    return each.request.prompt.token_ids[place] if place < each.prompt_length else place % 3


def known(each: Entry) -> list[int]:
    """Its tokens but those in flight."""
    return each.tokens[: len(each.tokens) - each.ahead]


class Drawing(Flight):
    """Each of the entries draws the token that its place says."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__(entries, None)

    def land(self) -> Iterator[Landed]:
        for each in self.entries:
            yield Landed(each, token_of(each, len(known(each))), None, None)


class Memory:
    """What a cache would hold: the group and token of each row, and all tokens of each state, as plans say.

    It takes the turns of the engine, of which `depth` steps are in flight: none, or one.
    """

    def __init__(
        self,
        *,
        pages: int,
        page: int = 16,
        seqs: int,
        tokens: int,
        groups: Sequence[Group] = (),
        states: bool = False,
        depth: int = 0,
    ) -> None:
        self.groups = groups or [Group((), Reach(), page, 1)]
        self.states = [list[int]() for _ in range(seqs)] if states else []
        self.seqs, self.tokens, self.depth = seqs, tokens, depth
        given: Any = SimpleNamespace(vocab_size=8), self, SimpleNamespace(layout=self, seqs=seqs)
        run: Any = SimpleNamespace(device=torch.device("cpu"), encoder_cache_bytes=0)
        self.pages = pages
        self.state = EngineState(*given, run, tokens=tokens, end_ids=frozenset())
        self.pool, self.scheduler = self.state.pool, self.state.scheduler
        longest = max(group.page for group in self.groups)
        self.rows: list[list[tuple[int, int] | None]] = [[None] * longest for _ in range(pages)]

    def copy(self, _group: int, source: int, to: int, rows: int) -> None:
        self.rows[to][:rows] = self.rows[source][:rows]

    def clear(self, pages: Sequence[int]) -> None:
        for page in pages:
            self.rows[page] = [None] * len(self.rows[page])

    def step(self) -> Plan:
        """Run the next step as the engine does."""
        if self.state.has_to_wait:
            self.land(leave=0)
        plan = self.scheduler.plan()
        assert not any(each.ahead for each, _ in plan.stopped), "what makes way is not known"
        self.state.prepare(plan)
        if plan.entries:
            with patch.object(engine_state, "launch", lambda *_, plan, **__: self._computed(plan)):
                self.state.launch(plan, None)  # type: ignore[arg-type]
        self.land(leave=self.depth if plan.entries else 0)
        return plan

    def land(self, *, leave: int) -> None:
        for each, token, *_ in self.state.landed(leave=leave):
            if each.log.ended:
                each.drop_last()
                self.state.end(each, is_sound=True)
            else:
                each.know(token)

    def end(self, each: Entry) -> None:
        """No more is wanted of it, of which a part may be in flight."""
        if not each.log.error:
            each.log.cancelled = True
        self.state.end(each, is_sound=True)

    def _computed(self, plan: Plan) -> Drawing:
        assert plan.tokens <= self.tokens
        assert plan.entries or not self.scheduler.waiting
        computed = [(each, each.rows, 1) for each in plan.writers]
        for chunk in plan.chunks:
            stop = chunk.entry.read + chunk.count
            assert not any(each.start < stop < each.stop for each in chunk.entry.whole), "something whole is cut"
        computed += [(chunk.entry, chunk.entry.read, chunk.count) for chunk in plan.chunks]
        for each, start, count in computed:
            self._write(each, start, [token_of(each, place) for place in range(start, start + count)])
        for each, start, count in computed:
            self.check(each, start, start + count)
        drawing = [*plan.writers, *(chunk.entry for chunk in plan.chunks if chunk.is_last)]
        for each in drawing:
            assert len(each.tokens) - each.prompt_length < each.answer.limit, "a token more than may be is drawn"
            assert not (each.form and each.ahead), "a form has to know the tokens before"
        return Drawing(drawing)

    def _write(self, each: Entry, start: int, tokens: list[int]) -> None:
        for number, group in enumerate(self.groups):
            for row, token in enumerate(tokens, start):
                page = each.tables[number][row // group.page]
                assert self.pool.users(page) == 1, "rows are written to a page that others use"
                self.rows[page][row % group.page] = (number, token)
        if self.states:
            assert each.slot is not None
            before = self.states[each.slot] if start else []
            self.states[each.slot] = before + tokens
            assert self.states[each.slot] == [token_of(each, place) for place in range(start + len(tokens))]

    def check(self, each: Entry, first: int, stop: int) -> None:
        """All that the rows from one to another see is there, in every group."""
        for number, group in enumerate(self.groups):
            for row in range(group.reach.start(first), stop):
                page = each.tables[number][row // group.page]
                assert page != GONE, "a page went back that is still seen"
                assert self.rows[page][row % group.page] == (number, token_of(each, row))
