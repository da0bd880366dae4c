"""Whole prompts -> hidden rows, by one forward call for several, without a cache."""

# T tokens of a call, D width

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from triptych.inputs.prompt import Prompt
from triptych.parts.step import Step
from triptych.runner.encode import encode_items
from triptych.runner.protocols import TextModel
from triptych.runner.request import RunOptions
from triptych.runner.rows import check_rows

TOKENS = 8192  # in one call, which bounds its activations; a longer prompt has a call of its own


def packed(lengths: Sequence[int], *, most: int | None = None) -> Iterator[list[int]]:
    """Numbers of neighbouring prompts that are read in one call, `most` of them at the most."""
    group: list[int] = []
    tokens = 0
    for number, length in enumerate(lengths):
        if group and (tokens + length > TOKENS or len(group) == most):
            yield group
            group, tokens = [], 0
        group.append(number)
        tokens += length
    if group:
        yield group


def read_prompts(model: TextModel, prompts: Sequence[Prompt], step: Step, *, run: RunOptions) -> Tensor:
    """Hidden rows [T, D] of packed prompts, with those of their items in place."""
    ids_T = torch.tensor([*chain.from_iterable(prompt.token_ids for prompt in prompts)], device=run.device)
    features = [feature for prompt in prompts for feature in prompt.features]
    embeds_TD = None
    if features:
        rows = encode_items(model, features, device=run.device)
        mask_T = torch.tensor([*chain.from_iterable(p.item_rows() for p in prompts)], device=run.device)
        embeds_TD = model.embed_input_ids(ids_T, rows, is_multimodal=mask_T)
    hidden_TD = model(ids_T, step.positions, step=step, inputs_embeds=embeds_TD)
    return check_rows(model, hidden_TD, len(ids_T), by="forward")
