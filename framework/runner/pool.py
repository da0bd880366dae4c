"""Prompts -> one row each: whole sequences, packed, without a cache."""

# B prompts, D width

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from triptych.inputs.prompt import Prompt
from triptych.parts.step import Step
from triptych.runner.batch import PooledModel, packed, read_prompts
from triptych.runner.generate import check_prompts
from triptych.runner.request import RunOptions
from triptych.runner.rows import check_rows


@torch.inference_mode()
def pool(model: PooledModel, prompts: Sequence[Prompt], *, run: RunOptions) -> Tensor:
    """The pooled rows [B, D] of prompts, float32. Raises InputError for prompts that the model does not take."""
    check_prompts(model, prompts)
    lengths = [len(prompt.token_ids) for prompt in prompts]
    found = []
    for group in packed(lengths, most=run.max_batch):
        together = [prompts[number] for number in group]
        step = Step.of([lengths[number] for number in group], device=run.device, types=_types(together))
        hidden_TD = read_prompts(model, together, step, run=run)
        found.append(check_rows(model, model.pooler(hidden_TD, step), len(group), by="pooler"))
    return torch.cat(found)


def _types(prompts: Sequence[Prompt]) -> list[int] | None:
    """Of which text of its pair each token is; None where no prompt is a pair."""
    if not any(prompt.types for prompt in prompts):
        return None
    return [*chain.from_iterable(prompt.types or [0] * len(prompt.token_ids) for prompt in prompts)]
