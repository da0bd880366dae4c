"""How much memory a step takes beside weights and cache, known before the cache is made, which gets the rest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from triptych.errors import OptionError
from triptych.inputs.batches import group_and_batch_mm_kwargs
from triptych.inputs.processing import BaseMultiModalProcessor, BatchLimits, get_budget, get_dummy_inputs
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.parts.cache_needs import Cross
from triptych.parts.sources import Source
from triptych.runner.imagined import Imagining, LiveBytes, twin
from triptych.runner.memory import SHARE, free_bytes
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.request import RunOptions
from triptych.runner.sizes import MIB, ON_HOST

logger = logging.getLogger(__name__)

Processor = BaseMultiModalProcessor[Any] | None

SURE = 0.9  # of what is free; the rest is for what no tensor shows: scratch of libraries, pieces too small to be used
DRAWING = 24  # bytes for each logit of a step while tokens are drawn: copies in float32, sorted values and their places


def with_room(model: TextGenerationModel, run: RunOptions, *, longest: int, processor: Processor = None) -> RunOptions:
    """The same with the bytes that the cache may take, where the options do not say and the system does.

    That is what is free beside the largest step and the encoded items that are kept. On a host it is no more than
    all requests need, and nothing is looked into where that is less than half of what is free. Raises OptionError when
    the step alone takes too much.
    """
    free = free_bytes(run.device)
    if run.cache_bytes is not None or free is None:
        return run
    most = free
    if run.device.type == "cpu":
        layout = Layout.whole(model.cache_needs(), pages=run.max_batch, page=longest)
        most = min(ON_HOST, layout.nbytes(run.dtype))
        if most <= free // 2:
            return replace(run, cache_bytes=most)
    if (needed := step_bytes(model, run, longest=longest, processor=processor)) is None:
        return replace(run, cache_bytes=min(most, int(free * SHARE)))
    left = int(free * SURE) - needed - (run.encoder_cache_bytes if processor else 0)
    if left <= 0:
        size = f"a step of {run.max_num_batched_tokens} tokens takes {needed / MIB:,.1f} MiB"
        raise OptionError(
            f"{size}, and {free / MIB:,.1f} MiB are free; smaller ones take less", path="max_num_batched_tokens"
        )
    return replace(run, cache_bytes=min(most, left))


def step_bytes(model: TextGenerationModel, run: RunOptions, *, longest: int, processor: Processor = None) -> int | None:
    """The most bytes that tensors of one step take at a time; None for a model that cannot be imagined.

    Steps are full ones: new prompts, the end of the longest one, and the largest items that its tokens can hold.
    """
    tokens = run.max_num_batched_tokens
    chunk = min(tokens, max(1, longest // 2))
    fresh = [min(longest, tokens)] * max(1, tokens // longest)
    try:
        found = [forward_bytes(model, run, fresh), forward_bytes(model, run, [chunk], past=longest - chunk)]
        if processor is not None:
            found.append(items_bytes(model, processor, run, longest=longest))
    except Exception as error:  # of somebody's code that looks at numbers, which are not there
        logger.debug("%s cannot be imagined (%s); memory is taken by share", type(model).__qualname__, error)
        return None
    drawing = DRAWING * model.vocab_size * min(run.max_batch, tokens)
    return max(found) + drawing


@torch.no_grad()
def forward_bytes(
    model: Any, run: RunOptions, lengths: Sequence[int], *, past: int = 0, mode: LiveBytes | None = None
) -> int:
    """Bytes of a forward of sequences of so many new tokens, and of their logits; imagined unless `mode` counts it."""
    room, pages = past + max(lengths), 2 if past else 1
    page = -(-room // pages)
    count = len(lengths)
    layout = Layout.whole(model.cache_needs(), pages=pages * count, page=page, slots=count)
    imagining = mode or Imagining(run.device)
    if mode is None:
        model = twin(model)
    with imagining:
        cache = Cache(layout, dtype=run.dtype, device="meta" if mode is None else run.device)
        before = imagining.now
        tables = [[tuple(range(pages * n, pages * n + pages)) for n in range(count)]]
        step = cache.step_in(lengths, past=[past] * count, tables=tables, slots=[*range(count)])
        step.sources |= _silence(model, count, run)
        ids_T = torch.zeros(sum(lengths), dtype=torch.int64, device=run.device)
        hidden_TD = model(ids_T, step.positions, step=step, inputs_embeds=None)
        model.compute_logits(hidden_TD[: run.max_batch])
    return imagining.peak - before


def _silence(model: Any, count: int, run: RunOptions) -> dict[str, Source]:
    """As many rows as the layers look at, for each of so many sequences."""
    needs = {need.source: need for need in model.cache_needs().values() if isinstance(need, Cross)}
    width = getattr(model, "width", 0)
    return {
        name: Source.of([torch.zeros(need.shapes[0][1], width, dtype=run.dtype, device=run.device)] * count)
        for name, need in needs.items()
    }


@torch.no_grad()
def items_bytes(
    model: Any,
    processor: BaseMultiModalProcessor[Any],
    run: RunOptions,
    *,
    longest: int,
    mode: LiveBytes | None = None,
) -> int:
    """Bytes while the largest dummy items are encoded, as many as a step holds; imagined unless `mode` counts it."""
    limits = BatchLimits(
        max_model_len=longest, max_num_batched_tokens=run.max_num_batched_tokens, max_num_seqs=run.max_batch
    )
    if not any(processor.info.get_allowed_mm_limits().values()):
        return 0
    budget = get_budget(processor, limits)
    if (modality := budget.get_modality_with_most_tokens()) is None:
        return 0
    (item,) = get_dummy_inputs(processor, longest, {modality: 1}).mm_kwargs[modality]
    assert item is not None, "a processor prepares what it is given"
    items = [(modality, item)] * budget.items_per_batch[modality]
    imagining = mode or Imagining(run.device)
    if mode is None:
        model = twin(model)
    with imagining:
        for _, count, keywords in group_and_batch_mm_kwargs(items, device=run.device):
            # what stays in host memory is read as numbers (grids), which what is imagined does not have
            known = {key: [each.data] * count for key, each in item.items() if each.field.keep_on_cpu}
            model.embed_multimodal(**{**keywords, **known})
    return imagining.peak
