"""The tokens of a planned step -> hidden rows."""

# T tokens of a step, D width

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from triptych.parts.cache import Cache
from triptych.registry.authors import blaming
from triptych.runner.encoded import item_parts
from triptych.runner.entry import Entry
from triptych.runner.flight import Flight
from triptych.runner.positions import PromptPositions, step_positions, with_rows
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.reading import RUNS, forward
from triptych.runner.schedule import Plan
from triptych.runner.sources import step_sources
from triptych.runner.step_items import StepItems


def hidden_rows(
    model: TextGenerationModel, cache: Cache, plan: Plan, items: StepItems, *, before: Flight | None
) -> Tensor:
    """The hidden rows [T, D] of the tokens of a step, with those of items in place. Raises what `forward` does.

    The tokens of the writers are those of the flight `before`, where that has not landed.
    """
    entries = plan.entries
    ids = [entry.tokens[-1] for entry in plan.writers]
    for chunk in plan.chunks:
        ids += chunk.entry.tokens[chunk.entry.read : chunk.entry.read + chunk.count]
    counts, past = [1] * len(plan.writers) + [chunk.count for chunk in plan.chunks], [entry.rows for entry in entries]
    rows, moved = _placed(model, plan, items)
    places = [moved.get(entry, entry.places) for entry in entries]
    step = cache.step_in(
        counts,
        past=past,
        tables=[*zip(*(entry.tables for entry in entries), strict=True)],
        slots=[entry.slot for entry in entries if entry.slot is not None],
        blocks=_blocks(plan),
        positions=step_positions([*zip(places, past, counts, strict=True)], device=cache.device),
    )
    chunks = {len(plan.writers) + n: chunk for n, chunk in enumerate(plan.chunks)}
    begun = {n: items.sources[chunk.entry] for n, chunk in chunks.items() if chunk.entry in items.sources}
    step.sources |= step_sources(model, [entry.request.prompt for entry in entries], begun)
    ids_T = torch.tensor(ids, device=cache.device)
    if before is not None and plan.writers:
        ids_T[: len(plan.writers)] = before.tokens_of(plan.writers)
    mask = items.mask(len(plan.writers)) if rows else []
    return forward(model, ids_T, step, _embeds(model, ids_T, rows, mask))


def _placed(
    model: TextGenerationModel, plan: Plan, items: StepItems
) -> tuple[list[Tensor], dict[Entry, PromptPositions | None]]:
    """The rows of items in a step, and where the tokens of requests stand whose rows say so."""
    rest, rows = iter(items.rows), list[Tensor]()
    places: dict[Entry, PromptPositions | None] = {}
    for chunk in plan.chunks if items.rows else ():
        entry, prompt = chunk.entry, chunk.entry.request.prompt
        own = [*islice(rest, sum(1 for _ in item_parts(prompt, entry.read, chunk.count)))]
        found, places[entry] = with_rows(model, prompt, entry.places, own, start=entry.read)
        rows += found
    return rows, places


def _blocks(plan: Plan) -> Sequence[Sequence[range]]:
    """What is read in the step that sees itself both ways, of each sequence; () where there is none."""
    if not any(chunk.entry.request.prompt.blocks for chunk in plan.chunks):
        return ()
    read = [range(chunk.entry.read, chunk.entry.read + chunk.count) for chunk in plan.chunks]
    blocks = [chunk.entry.request.prompt.blocks for chunk in plan.chunks]
    own = [[each for each in found if each.start in rows] for found, rows in zip(blocks, read, strict=True)]
    return [*([] for _ in plan.writers), *own]


def _embeds(model: TextGenerationModel, ids_T: Tensor, rows: Sequence[Tensor], mask: Sequence[bool]) -> Tensor | None:
    """The inputs [T, D] of a step in which rows of items stand; None where there are none."""
    if not rows:
        return None
    mask_T = torch.tensor(mask, device=ids_T.device)
    with blaming(model, RUNS):
        return model.embed_input_ids(ids_T, rows, is_multimodal=mask_T)
