"""The hidden rows of a step -> the tokens of those who draw after it."""

# T tokens of a step, B requests that draw a token, D width

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from triptych.runner.drawn import Drawn
from triptych.runner.entry import Entry
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.reading import read_logits
from triptych.runner.sampling import Sampler
from triptych.runner.staged import Staged


def draw(
    model: TextGenerationModel, sampler: Sampler, entries: Sequence[Entry], *, hidden_TD: Tensor, rows: Sequence[int]
) -> Drawn:
    """The next token of each of the entries, after the hidden rows that are its last."""
    hidden_BD = hidden_TD if len(rows) == len(hidden_TD) else hidden_TD[torch.tensor(rows, device=hidden_TD.device)]
    slots = [entry.slot for entry in entries if entry.slot is not None]
    if isinstance(model, Staged):
        return model.draw(hidden_BD, sampler, slots)
    return sampler.draw(read_logits(model, hidden_BD), slots)
