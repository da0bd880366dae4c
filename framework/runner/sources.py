"""What the decoder of a model hears in a step: rows of the items that its prompts go with."""

# D width

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from triptych.inputs.prompt import Prompt
from triptych.parts.sources import Source


def step_sources(model: object, prompts: Sequence[Prompt], rows: Mapping[int, Sequence[Tensor]]) -> dict[str, Source]:
    """By modality, for the prompts of a step. `rows` [n_i, D] are those of the items of the prompts that begin.

    A model says by its attribute `sources` which modalities its decoder looks at; most have none.
    """
    names: Sequence[str] = getattr(model, "sources", ())
    return {name: _source(name, prompts, rows) for name in names}


def _source(name: str, prompts: Sequence[Prompt], rows: Mapping[int, Sequence[Tensor]]) -> Source:
    of_name = [[feature.modality == name for feature in prompt.sources] for prompt in prompts]
    lengths = tuple(
        sum(feature.mm_position.get_num_embeds() for feature in prompt.sources if feature.modality == name)
        for prompt in prompts
    )
    given = [each for n in rows for each, is_one in zip(rows[n], of_name[n], strict=True) if is_one]
    return Source(lengths, torch.cat(given) if given else None, tuple(rows) if given else ())
