"""Every registered language model in the engine: however requests are cut, moved and stopped, answers are the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch

import triptych
from triptych.assembly import assemble
from triptych.errors import OptionError
from triptych.inputs.prompt import Prompt
from triptych.parts.cache_layout import Group, Layout, by_reach, row_size, rows_of
from triptych.parts.step import Step
from triptych.runner.engine import Engine
from triptych.runner.entry import Entry
from triptych.runner.options import SamplingOptions
from triptych.runner.request import Request, RunOptions
from triptych.runner.schedule import Scheduler
from triptych.runner.sizes import Sizes
from triptych.settings import Stage
from triptych.spec.catalog import catalog, load_named, sample_config
from triptych.weights import fill_random

CPU = torch.device("cpu")
SPECS = [
    name
    for name, listed in catalog().items()
    if listed.kind == "language_model" and listed.architectures and load_named(name)[1].get("sample")
]
LONGEST, PAGE = 96, 16
PREFIX = [7 * n % 97 for n in range(34)]
PROMPTS = [[5], PREFIX[:20], [2, 1], [1, 2, 3] * 9, PREFIX + [9] * 21]
OPTIONS = SamplingOptions(max_tokens=18, temperature=1.0, seed=5, ignore_eos=True)


@cache
def module(spec: str) -> Any:
    """In float64: answers are drawn, and a number that differs in its last place may not change one."""
    return triptych.random_init(spec, seed=1).module.double()


def engine(spec: str, *, tokens: int, pages: int) -> Engine:
    """With pages for one request and so many more."""
    made = module(spec)
    needs = made.cache_needs()
    found = by_reach(needs, longest=LONGEST).items()
    groups = tuple(Group(tuple(keys), reach, PAGE, row_size(keys)) for reach, keys in found)
    layout = Layout(needs, groups, sum(group.pages(LONGEST) for group in groups) + pages, len(PROMPTS))
    if not groups:  # of a model that keeps states alone a slot is all that a request takes
        layout = Layout.whole(needs, pages=len(PROMPTS), page=LONGEST)
    run = RunOptions(device=CPU, dtype=torch.float64, max_num_batched_tokens=tokens)
    return Engine(made, sizes=Sizes(layout, seqs=len(PROMPTS), longest=LONGEST), run=run, tokenizer=None)


def answers(running: Engine, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    numbers = [running.add(Request(Prompt(tuple(ids)), OPTIONS)) for ids in prompts]
    found = dict[int, list[int]]()
    while running.busy:
        for event in running.step():
            found.setdefault(event.request, []).append(event.token_id)
    return [found[number] for number in numbers]


@cache
def alone(spec: str) -> list[list[int]]:
    """Each prompt in an engine of its own, all of it in one step."""
    return [answers(engine(spec, tokens=LONGEST, pages=0), [ids])[0] for ids in PROMPTS]


@pytest.mark.parametrize("spec", SPECS)
def test_in_pieces_beside_others_and_out_of_pages_the_answers_are_those_alone(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, stop = list[Entry](), Scheduler._stop_youngest
    monkeypatch.setattr(Scheduler, "_stop_youngest", lambda *given: (stopped.append(stop(*given)), stopped[-1])[1])
    tight = engine(spec, tokens=13, pages=0)
    assert answers(tight, PROMPTS) == alone(spec)
    assert answers(tight, PROMPTS) == alone(spec)  # with what it still remembers of them
    grows = any(need.window is None and need.chunk is None for need in rows_of(module(spec).cache_needs()).values())
    assert stopped or not grows, "there was room for all"


@pytest.mark.parametrize("spec", SPECS)
@torch.inference_mode()
def test_two_stages_are_the_whole(spec: str) -> None:
    config = sample_config(load_named(spec)[1])

    def stage(rank: int, size: int) -> Any:
        made = assemble(spec, config, stage=Stage(rank, size)).module
        fill_random(made, seed=4, device=CPU, dtype=torch.float32)
        return made.eval()

    if assemble(spec, config).plan.language_model.crosses:
        with pytest.raises(
            OptionError, match=r"^stage: of .*, layers take more from earlier ones than .*; use one stage"
        ):
            stage(0, 2)
        return
    whole, first, last = stage(0, 1), stage(0, 2), stage(1, 2)
    ids, step = torch.tensor(PROMPTS[0]), Step.of([len(PROMPTS[0])])
    handed = first(ids, step.positions, step=step)
    found = last(None, step.positions, step=step, intermediate_tensors=handed)
    assert torch.equal(found, whole(ids, step.positions, step=step))
