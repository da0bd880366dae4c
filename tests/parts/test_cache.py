"""What is remembered equals what was computed: one prompt whole, in chunks and a token at a time."""

from __future__ import annotations

import resource
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.parts.drawing import filled
from triptych.errors import InputError
from triptych.kernels.attention import Reach, Spans, attention
from triptych.parts.attention import Attention
from triptych.parts.attention_spec import AttentionSpec, HeadNorms, ReachSpec
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Group, Layout
from triptych.parts.cache_needs import Rows, State
from triptych.parts.norms_spec import RmsNormSpec
from triptych.parts.rope_spec import RopeSpec
from triptych.parts.step import Step

WIDTH = 24
LENGTHS = (11, 7, 11, 1)
SPECS: dict[str, dict[str, Any]] = {
    "plain": {"position": RopeSpec(theta=100.0)},
    "window": {"position": RopeSpec(theta=100.0), "reach": ReachSpec(window=4)},
    "chunk": {"position": RopeSpec(theta=100.0), "reach": ReachSpec(chunk=4)},
    "softcap": {"scores": {"softcap": 2.0}},
    "one key head": {"kv_heads": 1},
    "normed heads": {"qk_norm": RmsNormSpec(eps=1e-2), "position": RopeSpec(theta=100.0)},
    "normed over all": {"qk_norm": HeadNorms(norm=RmsNormSpec(eps=1e-2), over="all"), "bias": True},
}


def made(name: str) -> Attention:
    fields: dict[str, Any] = {"heads": 4, "kv_heads": 2, "head_dim": 8} | SPECS[name]
    part: Attention = filled(AttentionSpec(**fields), width=WIDTH, key="layers.0.mix")
    return part


def prompts() -> list[Tensor]:
    make = torch.Generator().manual_seed(1)
    return [torch.randn(n, WIDTH, generator=make) for n in LENGTHS]


def cache_of(part: Attention, *, pages: int = len(LENGTHS), page: int = 16) -> Cache:
    assert part.cache_need is not None
    return Cache(Layout.whole({part.key: part.cache_need}, pages=pages, page=page), dtype=torch.float32)


def fed(part: Attention, cache: Cache, chunks: dict[int, Tensor]) -> dict[int, Tensor]:
    """One step that gives each page its chunk -> what comes out for each."""
    step = cache.step([len(chunk) for chunk in chunks.values()], pages=list(chunks))
    rows = part(torch.cat(list(chunks.values())), step).split([len(chunk) for chunk in chunks.values()])
    return dict(zip(chunks, rows, strict=True))


@pytest.mark.parametrize("size", [1, 3, 5, 11])
@pytest.mark.parametrize("name", SPECS)
def test_chunks_of_every_size_equal_the_whole(name: str, size: int) -> None:
    part, found = made(name), {i: [] for i in range(len(LENGTHS))}
    cache = cache_of(part)
    for start in range(0, max(LENGTHS), size):
        chunks = {i: x[start : start + size] for i, x in enumerate(prompts()) if len(x) > start}
        for slot, rows in fed(part, cache, chunks).items():
            found[slot].append(rows)
    whole = part(torch.cat(prompts()), Step.of(LENGTHS))
    torch.testing.assert_close(torch.cat([torch.cat(rows) for rows in found.values()]), whole, rtol=1e-5, atol=1e-5)


def test_a_batch_equals_its_sequences_alone() -> None:
    part = made("plain")
    whole = part(torch.cat(prompts()), Step.of(LENGTHS)).split(LENGTHS)
    for rows, x in zip(whole, prompts(), strict=True):
        torch.testing.assert_close(part(x, Step.of([len(x)])), rows, rtol=1e-5, atol=1e-5)


def test_a_page_that_is_copied_goes_on_as_the_other() -> None:
    part = made("plain")
    cache = cache_of(part, pages=len(LENGTHS) + 1)
    fed(part, cache, dict(enumerate(prompts())))
    number = max(range(len(LENGTHS)), key=LENGTHS.__getitem__)
    before = prompts()[number]
    cache.copy(0, number, len(LENGTHS), 2)
    cache.lengths[-1] = 2
    new = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(2))
    whole = torch.cat((before[:2], new))
    found = fed(part, cache, {len(LENGTHS): new})[len(LENGTHS)]
    torch.testing.assert_close(found, part(whole, Step.of([len(whole)]))[-2:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 3, 50])
def test_a_sequence_may_fill_several_pages_in_any_order(chunk: int) -> None:
    part = made("window")
    cache = cache_of(part, pages=8, page=3)
    tables, found = [(5, 0, 7, 4), (2, 6, 1)], [list[Tensor](), list[Tensor]()]
    both = prompts()[:2]
    for start in range(0, max(map(len, both)), chunk):
        some = [i for i, x in enumerate(both) if start < len(x)]
        chunks = [both[i][start : start + chunk] for i in some]
        step = cache.step_in([*map(len, chunks)], past=[start] * len(some), tables=[[tables[i] for i in some]])
        for i, rows in zip(some, part(torch.cat(chunks), step).split([*map(len, chunks)]), strict=True):
            found[i].append(rows)
    for x, rows in zip(both, found, strict=True):
        torch.testing.assert_close(torch.cat(rows), part(x, Step.of([len(x)])), rtol=1e-5, atol=1e-5)


def test_a_step_knows_where_its_rows_stand() -> None:
    cache = Cache(Layout.whole({}, pages=3, page=16), dtype=torch.float32)
    cache.step([5, 2], pages=[2, 0])
    step = cache.step([1, 3], pages=[0, 2])
    assert step.positions.tolist() == [2, 5, 6, 7]
    assert step.lengths == (3, 8)
    assert step.bounds == (0, 1, 4)
    assert step.per_row([10, 20]).tolist() == [10, 20, 20, 20]
    assert cache.lengths == [3, 0, 8]
    assert not step.spans.single
    assert cache.step([1, 1]).spans.single


def test_a_sequence_longer_than_the_cache_is_refused_and_changes_nothing() -> None:
    cache = Cache(Layout.whole({}, pages=2, page=8), dtype=torch.float32)
    cache.step([8, 3])
    with pytest.raises(InputError, match="a sequence of 9 tokens is longer than a page of the cache, which holds 8"):
        cache.step([1, 1])
    assert cache.lengths == [8, 3]


@pytest.mark.parametrize("pages", [[0], [0, 0], [0, 2], [-1, 0]])
def test_pages_that_are_not_there_are_refused(pages: list[int]) -> None:
    with pytest.raises(InputError, match="2 sequences in pages"):
        Cache(Layout.whole({}, pages=2, page=8), dtype=torch.float32).step([1, 1], pages=pages)


def test_bytes_are_known_before_they_are_taken() -> None:
    needs = {"a": Rows(2, (8, 4)), "b": Rows(1, (16, 16), window=4)}
    layout = Layout.whole(needs, pages=3, page=10)
    cache = Cache(layout, dtype=torch.bfloat16)
    taken = sum(rows.nbytes for of_mixer in cache.rows.values() for rows in of_mixer)
    assert layout.nbytes(torch.bfloat16) == taken == 3 * 10 * 2 * (24 + 32)


def test_groups_lie_over_each_other_in_pages_that_any_of_them_may_take() -> None:
    needs = {"a": Rows(2, (8, 4)), "b": Rows(1, (16, 16), window=4), "c": State(((2, 3), (5,)))}
    groups = (Group(("a",), Reach(), 4, 24), Group(("b",), Reach(4), 2, 32))
    layout = Layout(needs, groups, pages=3, slots=6)
    cache = Cache(layout, dtype=torch.float32)
    memory = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in all_tensors(cache)}
    assert layout.nbytes(torch.float32) == 4 * (3 * 4 * 24 + 6 * 11)
    assert layout.nbytes(torch.float32) <= sum(memory.values()) <= layout.nbytes(torch.float32) + 64 * len(memory)
    for number, rows in enumerate((*cache.rows["a"], *cache.rows["b"]), 1):
        rows[:] = number
    assert [rows.unique().tolist() for rows in cache.rows["b"]] == [[3], [4]]
    cache.rows["a"][0][1], cache.rows["a"][1][1] = 5, 6
    assert [rows[[0, 2]].unique().tolist() for rows in cache.rows["b"]] == [[3], [4]]
    assert [rows[1].unique().tolist() for rows in cache.rows["a"]] == [[5], [6]]


def all_tensors(cache: Cache) -> list[Tensor]:
    return [each for made in (*cache.rows.values(), *cache.states.values()) for each in made]


@pytest.mark.parametrize("size", [1, 4, 11])
def test_rows_of_one_width_are_keys_and_values(size: int) -> None:
    """Latent attention: values are the first numbers of what keys are, and all heads look at the one row."""
    make = torch.Generator().manual_seed(3)
    rows_TGK, q_THK = torch.randn(11, 1, 8, generator=make), torch.randn(11, 4, 8, generator=make)
    cache = Cache(Layout.whole({"x": Rows(1, (8,))}, pages=1, page=16), dtype=torch.float32)
    found = []
    for start in range(0, 11, size):
        new = rows_TGK[start : start + size]
        step = cache.step([len(new)])
        kept = step.store("x", new)
        assert kept is not None
        assert kept.v.data_ptr() == kept.k.data_ptr()
        kept = kept._replace(v=kept.v[..., :6])
        queries = q_THK[start : start + size]
        found.append(attention(queries, new, new[..., :6], spans=step.spans, kept=kept, scale=0.3))
    whole = attention(q_THK, rows_TGK, rows_TGK[..., :6], spans=Spans.of([11]), scale=0.3)
    torch.testing.assert_close(torch.cat(found), whole, rtol=1e-5, atol=1e-5)


def test_a_state_is_of_its_sequence_and_nought_where_one_begins() -> None:
    need = State(((2,), (3, 1)))
    cache = Cache(Layout.whole({"x": need}, pages=4, page=16), dtype=torch.float64)
    first = cache.step([5, 1], pages=[3, 1])
    assert not any(each.any() for each in first.state("x", need, dtype=torch.float64))
    first.keep("x", torch.tensor([[1.0, 1.0], [2.0, 2.0]]), torch.ones(2, 3, 1))
    second = cache.step([1, 2, 1], pages=[0, 1, 3])
    pair, triple = second.state("x", need, dtype=torch.float64)
    assert pair.tolist() == [[0, 0], [2, 2], [1, 1]]
    assert triple.flatten(1).tolist() == [[0] * 3, [1] * 3, [1] * 3]
    pair += 1  # a copy
    assert second.state("x", need, dtype=torch.float64)[0].tolist() == [[0, 0], [2, 2], [1, 1]]
    plain = Step.of([2, 3])
    plain.keep("x", *plain.state("x", need, dtype=torch.bfloat16))
    pair, triple = plain.state("x", need, dtype=torch.bfloat16)
    assert pair.equal(torch.zeros(2, 2, dtype=torch.bfloat16))
    assert triple.equal(torch.zeros(2, 3, 1, dtype=torch.bfloat16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_is_taken_as_rows_are_written(dtype: torch.dtype) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before = resident()
    cache = Cache(Layout.whole({"a": Rows(8, (64, 64))}, pages=64, page=2**14), dtype=dtype)
    rows = cache.rows["a"][0]
    assert rows.nbytes >= 2**30
    assert resident() - before < 2**24
    assert not rows[3, 2, 1000:1010].any()
    assert rows.data_ptr() % 64 == 0
    rows[5, :, :100] = 1
    assert resident() - before < 2**26  # a host may give memory in pieces of 2 MiB


def test_an_unknown_cut_is_named() -> None:
    with pytest.raises(InputError, match="not cut by 'frame'; known: none"):
        Step.of([3]).cut("frame")


def test_a_named_cut_keeps_rows_apart() -> None:
    spec = AttentionSpec(heads=2, kv_heads=2, head_dim=8, reach=ReachSpec(causal=False, within="frame"))
    part, x = filled(spec, width=WIDTH, key="x"), prompts()[0]
    frames = Step.of([4, 7])
    step = Step(Step.of([11]).spans, device="cpu", cuts={"frame": frames.spans})
    plain = filled(spec.model_copy(update={"reach": ReachSpec(causal=False)}), width=WIDTH, key="x")
    torch.testing.assert_close(part(x, step), plain(x, frames))
    assert (part(x, step) - plain(x, Step.of([11]))).abs().max() > 1e-2


def test_what_depends_on_the_step_alone_is_made_once() -> None:
    step, calls = Step.of([3]), []
    for _ in range(3):
        step.once("key", lambda: calls.append(1))
    assert calls == [1]
    assert list(pairwise(step.bounds)) == [(0, 3)]


def test_sums_are_kept_in_float32_beside_rows_in_half_precision() -> None:
    need = State(((3, 4), (5, 2)), sums=1)
    layout = Layout.whole({"m": need}, pages=2, page=8)
    cache = Cache(layout, dtype=torch.bfloat16)
    assert [each.dtype for each in cache.states["m"]] == [torch.bfloat16, torch.float32]
    assert layout.nbytes(torch.bfloat16) == 2 * (12 * 2 + 10 * 4)
    assert layout.nbytes(torch.float64) == 2 * 22 * 8
    begun = Step.of([1]).state("m", need, dtype=torch.bfloat16)
    assert [each.dtype for each in begun] == [torch.bfloat16, torch.float32]
