"""Rows of images that were encoded elsewhere, and how large the images were: texts between their rows hang on that."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from triptych.errors import InputError
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.media import DictEmbeddingItems, EmbeddingItems, EmbedFields
from triptych.inputs.media.embed_fields import Fields
from triptych.inputs.nested import NestedTensors
from triptych.inputs.processing.grid_embeds import EMBEDS, THW
from triptych.spec.item_facts import ImageFacts
from triptych.spec.tokens import Known, TokenRule

SIZES = "_sizes"  # what the name of the field beside the rows ends in
ENCODED = (EmbeddingItems, DictEmbeddingItems)


def sized_fields(rules: Mapping[str, TokenRule]) -> dict[str, EmbedFields]:
    """The fields of images: `image_embeds`, [items, n, D] or a list of [n, D], and `image_sizes`.

    These are the height and width [items, 2] of each image in pixels.
    """
    return {modality: _fields(modality) for modality in rules if modality == "image"}


def encoded_facts(items: EmbeddingItems | DictEmbeddingItems, index: int) -> ImageFacts | None:
    """How large an image was; None where nothing says it."""
    sizes = items.given(index).get(items.modality + SIZES) if isinstance(items, DictEmbeddingItems) else None
    return ImageFacts(*map(int, sizes)) if isinstance(sizes, Tensor) else None


def encoded_known(items: EmbeddingItems | DictEmbeddingItems, index: int, rule: TokenRule) -> Known:
    """How large an image was, or the grid of an item, whichever stands beside its rows; None where nothing does."""
    grid = items.given(index).get(items.modality + THW) if isinstance(items, DictEmbeddingItems) else None
    if isinstance(grid, Tensor) and rule.told is not None:
        found: Known = rule.told(grid.tolist())
        return found
    return encoded_facts(items, index)


def check_rows_of(items: EmbeddingItems | DictEmbeddingItems, index: int, wanted: int | None) -> int:
    """How many rows an item has. Raises InputError for others than are `wanted` of an image of its size."""
    found = items.get_feature_size(index)
    if wanted is not None and found != wanted:
        facts = encoded_facts(items, index)
        raise InputError(
            f"has {found} rows, and one of {facts} pixels takes {wanted}", path=f"{items.modality}[{index}]"
        )
    return found


def _fields(modality: str) -> EmbedFields:
    def cut(data: Fields) -> Mapping[str, MultiModalFieldConfig]:
        _check(data[modality + SIZES], modality)
        return {
            modality + EMBEDS: MultiModalFieldConfig.batched(modality),
            modality + SIZES: MultiModalFieldConfig.batched(modality, keep_on_cpu=True),
        }

    return EmbedFields(rows=modality + EMBEDS, required=(modality + SIZES,), cut=cut)


def _check(given: NestedTensors, modality: str) -> None:
    """Raise InputError for anything else than whole numbers from 1 up, [items, 2]."""
    each = [size for size in given if isinstance(size, Tensor) and size.shape == (2,)]
    sizes = torch.stack(each) if 0 < len(each) == len(given) else torch.empty(0)
    if sizes.ndim != 2 or sizes.is_floating_point() or bool((sizes < 1).any()):
        wanted = "the height and width of each image in pixels are wanted, [items, 2] whole numbers from 1 up"
        raise InputError(wanted, path=modality + SIZES)
