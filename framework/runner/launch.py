"""A planned step -> what the device is asked for: hidden rows, and the tokens of those who draw after them."""

# T tokens of a step, B requests that draw a token, D width

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from triptych.parts.cache import Cache
from triptych.runner.drawn import Drawn
from triptych.runner.entry import Entry
from triptych.runner.flight import Flight
from triptych.runner.graphs import DecodeGraphs
from triptych.runner.prompt_scores import keep_rows
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.reading import read_logits
from triptych.runner.sampling import Sampler
from triptych.runner.schedule import Plan
from triptych.runner.staged import Staged
from triptych.runner.step_items import StepItems
from triptych.runner.step_rows import hidden_rows


def launch(
    model: TextGenerationModel,
    cache: Cache,
    sampler: Sampler,
    *,
    plan: Plan,
    items: StepItems,
    before: Flight | None,
    graphs: DecodeGraphs | None = None,
) -> Flight:
    """Ask for a step, after that of the flight `before` if it has not landed. Raises what the model does."""
    recorded_TD = graphs.hidden_rows(plan, before=before) if graphs else None
    hidden_TD = hidden_rows(model, cache, plan, items, before=before) if recorded_TD is None else recorded_TD
    entries, rows = [*plan.writers], [*range(len(plan.writers))]
    stop = len(rows)
    for chunk in plan.chunks:
        start, stop = stop, stop + chunk.count
        keep_rows(chunk.entry, hidden_TD[start:stop])
        if chunk.is_last:
            entries.append(chunk.entry)
            rows.append(stop - 1)
    if not entries:
        return Flight([], None)
    hidden_BD = hidden_TD if len(rows) == len(hidden_TD) else hidden_TD[torch.tensor(rows, device=hidden_TD.device)]
    return Flight(entries, _drawn(model, sampler, entries, hidden_BD))


def _drawn(model: TextGenerationModel, sampler: Sampler, entries: Sequence[Entry], hidden_BD: Tensor) -> Drawn:
    slots = [entry.slot for entry in entries if entry.slot is not None]
    if isinstance(model, Staged):
        return model.draw(hidden_BD, sampler, slots)
    return sampler.draw(read_logits(model, hidden_BD), slots)
