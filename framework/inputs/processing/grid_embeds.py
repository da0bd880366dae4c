"""Rows of items that were encoded elsewhere, with the grids by which their tokens stand."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from triptych.errors import InputError
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.media import EmbedFields
from triptych.inputs.media.embed_fields import Fields
from triptych.parts.grid import Grid
from triptych.spec.tokens import TokenRule

EMBEDS, THW = "_embeds", "_grid_thw"  # what the names of the two fields end in


def embed_fields(rules: Mapping[str, TokenRule]) -> dict[str, EmbedFields]:
    """The fields of each modality whose grid is moments, rows and columns: `image_embeds`, `image_grid_thw`.

    The rows are those of each item, [items, n, D] or a list of [n, D], or [N, D] one after the other, cut in proportion
    to the grids [items, 3].
    """
    told = (m for m, rule in rules.items() if getattr(rule.told, "__self__", None) is Grid)
    return {m: _fields(m) for m in told}


def _fields(modality: str) -> EmbedFields:
    def cut(data: Fields) -> Mapping[str, MultiModalFieldConfig]:
        rows, grids = data[modality + EMBEDS], _grids(data[modality + THW], modality)
        found = {modality + THW: MultiModalFieldConfig.batched(modality, keep_on_cpu=True)}
        if not isinstance(rows, Tensor) or rows.ndim != 2:
            return {**found, modality + EMBEDS: MultiModalFieldConfig.batched(modality)}
        sizes = grids.prod(-1) * len(rows) // grids.prod(-1).sum()
        return {**found, modality + EMBEDS: MultiModalFieldConfig.flat_from_sizes(modality, sizes)}

    return EmbedFields(rows=modality + EMBEDS, required=(modality + THW,), cut=cut)


def _grids(given: object, modality: str) -> Tensor:
    """[items, 3]. Raises InputError for anything else than whole numbers from 1 up."""
    grids = given if isinstance(given, Tensor) else torch.stack([*given]) if isinstance(given, list) else torch.empty(0)
    if grids.ndim != 2 or grids.shape[1] != 3 or grids.is_floating_point() or bool((grids < 1).any()):
        wanted = "moments, rows and columns of each item, [items, 3] whole numbers from 1 up, are wanted"
        raise InputError(f"is {list(grids.shape)}; {wanted}", path=modality + THW)
    return grids
