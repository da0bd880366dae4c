"""Items -> rows, by as few calls of the model's encoder as their kinds allow."""

# D width, n_i rows of item i

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from triptych.errors import CapabilityError, Problem
from triptych.inputs.batches import group_and_batch_mm_kwargs
from triptych.inputs.items import MultiModalFeatureSpec


class Encoder(Protocol):
    """What the runner asks of a model that takes items."""

    def embed_multimodal(self, **items: Any) -> Sequence[Tensor] | Tensor: ...


def encode_items(model: Encoder, features: Sequence[MultiModalFeatureSpec], *, device: torch.device) -> list[Tensor]:
    """Rows [n_i, D] of each item, in their order, as many as its placeholder takes.

    Raises CapabilityError when the model gives anything else: rows too many of one item would be those of the next.
    """
    given = [(feature.modality, feature.data) for feature in features if feature.data is not None]
    assert len(given) == len(features), "an item that is cached elsewhere has its data by now"
    found: list[Tensor] = []
    for modality, count, keywords in group_and_batch_mm_kwargs(given, device=device):
        found += _rows(model, model.embed_multimodal(**keywords), modality=modality, count=count)
    _check_lengths(model, found, features)
    return found


def _check_lengths(model: Encoder, found: Sequence[Tensor], features: Sequence[MultiModalFeatureSpec]) -> None:
    wanted = [feature.mm_position.get_num_embeds() for feature in features]
    problems = [
        Problem(
            f"embed_multimodal of {type(model).__qualname__} gives {len(rows)} rows for item {number} of the call, "
            f"whose placeholder takes {count}; what it gives and the prompt updates must agree",
            features[number].modality,
        )
        for number, (rows, count) in enumerate(zip(found, wanted, strict=True))
        if len(rows) != count
    ]
    if problems:
        raise CapabilityError(problems)


def _rows(model: Encoder, found: object, *, modality: str, count: int) -> list[Tensor]:
    listed = list(found) if isinstance(found, Tensor | list | tuple) else []
    if len(listed) == count and all(isinstance(rows, Tensor) and rows.ndim == 2 for rows in listed):
        return listed
    name, given = type(model).__qualname__, _told(found)
    wanted = f"a list of {count} tensors [n, width], or one [{count}, n, width], is wanted for as many items"
    raise CapabilityError(f"embed_multimodal of {name} gives {given}; {wanted}", path=modality)


def _told(found: object) -> str:
    if isinstance(found, Tensor):
        return f"a tensor {list(found.shape)}"
    if isinstance(found, list | tuple):
        return f"a list of {[list(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__ for rows in found]}"
    return type(found).__name__
