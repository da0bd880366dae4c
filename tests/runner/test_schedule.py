"""Whose turn it is, and which pages it gets."""

from __future__ import annotations

import pytest

from tests.runner.turns import Memory, entry
from triptych.kernels.attention import Reach
from triptych.parts.cache_layout import Group
from triptych.runner.pages import Place


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
    memory.end(old)
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
    memory.end(first)
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
        memory.end(each)
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
    memory.end(first)
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
        memory.end(each)


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
