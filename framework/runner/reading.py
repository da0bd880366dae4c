"""Whole prompts -> hidden rows, by one forward call for several, without a cache."""

# T tokens of a call, D width

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

import torch
from torch import Tensor

from triptych.inputs.prompt import Prompt
from triptych.parts.sources import Source
from triptych.parts.step import Step
from triptych.registry.authors import blaming
from triptych.runner.encode import encode_items
from triptych.runner.heap import keep_freed
from triptych.runner.positions import positions_of, step_positions, with_rows
from triptych.runner.protocols import TextGenerationModel, TextModel
from triptych.runner.request import RunOptions
from triptych.runner.rows import check_logits, check_rows
from triptych.runner.sources import step_sources

RUNS = "as it runs"  # what is told of code that fails
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


def step_of(prompts: Sequence[Prompt], *, device: torch.device) -> Step:
    """The step of whole prompts, without a cache."""
    types = None
    if any(prompt.types for prompt in prompts):
        types = [*chain.from_iterable(prompt.types or [0] * len(prompt.token_ids) for prompt in prompts)]
    lengths = [len(prompt.token_ids) for prompt in prompts]
    return Step.of(lengths, device=device, types=types, blocks=[prompt.blocks for prompt in prompts])


def read_prompts(model: TextModel, prompts: Sequence[Prompt], step: Step, *, run: RunOptions) -> Tensor:
    """Hidden rows [T, D] of packed prompts, with those of their items in place. Raises what `forward` does."""
    keep_freed(run.device)
    ids_T = torch.tensor([*chain.from_iterable(prompt.token_ids for prompt in prompts)], device=run.device)
    features = [feature for prompt in prompts for feature in prompt.features]
    embeds_TD = None
    if features:
        mask_T = torch.tensor([*chain.from_iterable(p.item_rows() for p in prompts)], device=run.device)
        with blaming(model, RUNS):
            rows = iter(encode_items(model, features, device=run.device))
            own = [[*islice(rows, len(prompt.features))] for prompt in prompts]
            placed = [
                with_rows(model, p, positions_of(model, p), r, start=0) for p, r in zip(prompts, own, strict=True)
            ]
            merged = [*chain.from_iterable(found for found, _ in placed)]
            embeds_TD = model.embed_input_ids(ids_T, merged, is_multimodal=mask_T)
        parts = [(places, 0, len(prompt.token_ids)) for prompt, (_, places) in zip(prompts, placed, strict=True)]
        step.positions = step.positions if (found := step_positions(parts, device=run.device)) is None else found
    if any(prompt.sources for prompt in prompts):
        step.sources |= _sources(model, prompts, run=run)
    return forward(model, ids_T, step, embeds_TD)


def _sources(model: TextModel, prompts: Sequence[Prompt], *, run: RunOptions) -> dict[str, Source]:
    features = [feature for prompt in prompts for feature in prompt.sources]
    with blaming(model, RUNS):
        rows = iter(encode_items(model, features, device=run.device))
    return step_sources(model, prompts, {n: [*islice(rows, len(p.sources))] for n, p in enumerate(prompts)})


def forward(model: TextModel, ids_T: Tensor, step: Step, embeds_TD: Tensor | None) -> Tensor:
    """Hidden rows [T, D] of the tokens of a step.

    Raises CapabilityError for other rows, and PluginError, which says where and whose it is, when code of others fails
    in the model.
    """
    with blaming(model, RUNS):
        hidden_TD = model(ids_T, step.positions, step=step, inputs_embeds=embeds_TD)
    if isinstance(hidden_TD, tuple):  # with rows of layers, for a draft head that nobody runs here
        hidden_TD = hidden_TD[0]
    return check_rows(model, hidden_TD, len(ids_T), by="forward")


def read_logits(model: TextGenerationModel, hidden_ND: Tensor) -> Tensor:
    """Logits [N, V] of hidden rows.

    Raises CapabilityError for rows of another width than the vocabulary, PluginError as `forward` does.
    """
    with blaming(model, RUNS):
        logits_NV = model.compute_logits(hidden_ND)
    return check_logits(model, logits_NV, len(hidden_ND), vocab_size=model.vocab_size)
