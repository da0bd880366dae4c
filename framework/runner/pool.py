"""Prompts -> pooled rows: whole sequences, packed, without a cache."""

# B prompts, T tokens, T_i of one prompt, D width

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from triptych.inputs.prompt import Prompt
from triptych.kernels.choice import using
from triptych.registry.authors import blaming
from triptych.runner.checks import check_prompts
from triptych.runner.protocols import PooledModel
from triptych.runner.reading import RUNS, packed, read_prompts, step_of
from triptych.runner.request import RunOptions
from triptych.runner.rows import check_rows

CURE = "shorten it, or let truncate (--truncate) leave out its end"


def pool(model: PooledModel, prompts: Sequence[Prompt], *, run: RunOptions) -> Tensor:
    """The pooled rows [B, D] of prompts, float32. Raises InputError for prompts that the model does not take."""
    check_prompts(model, prompts, cure=CURE)
    found: dict[int, Tensor] = {}
    for group, rows_ND in _pooled(model, prompts, run=run):
        found.update(zip(group, check_rows(model.pooler, rows_ND, len(group), by="forward"), strict=True))
    if not prompts:
        return torch.empty(0, getattr(model.pooler, "out_width", 0), device=run.device)
    return torch.stack([found[number] for number in range(len(prompts))])


def pool_tokens(model: PooledModel, prompts: Sequence[Prompt], *, run: RunOptions) -> list[Tensor]:
    """The pooled rows [T_i, D] of the tokens of each prompt, float32. Raises InputError as `pool` does."""
    check_prompts(model, prompts, cure=CURE)
    found: dict[int, Tensor] = {}
    for group, rows_TD in _pooled(model, prompts, run=run):
        lengths = [len(prompts[number].token_ids) for number in group]
        rows = check_rows(model.pooler, rows_TD, sum(lengths), by="forward").split_with_sizes(lengths)
        found.update(zip(group, rows, strict=True))
    return [found[number] for number in range(len(prompts))]


@torch.inference_mode()
def _pooled(model: PooledModel, prompts: Sequence[Prompt], *, run: RunOptions) -> Iterator[tuple[list[int], Tensor]]:
    """Numbers of prompts that are read in one call, those of like length together, and what the pooler gives for them.

    Which are read together depends on the prompts alone, so that the same ones give the same numbers to the last bit.
    """
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number].token_ids))
    for places in packed([len(prompts[number].token_ids) for number in order], most=run.max_batch):
        group = [order[place] for place in places]
        together = [prompts[number] for number in group]
        step = step_of(together, device=run.device)
        with using(run.kernels):
            hidden_TD = read_prompts(model, together, step, run=run)
            with blaming(model, RUNS):
                pooled = model.pooler(hidden_TD, step)
        yield group, pooled
