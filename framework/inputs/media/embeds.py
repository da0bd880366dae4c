"""Embeds: items that were encoded elsewhere and go to the language model as they are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from triptych.errors import InputError
from triptych.inputs.media.items import ModalityDataItems
from triptych.inputs.media.reading import Array, first_given, form, is_array, is_list, read_each
from triptych.inputs.nested import NestedTensors, as_tensors
from triptych.schemas.embeds import check_item_embeds

NOT_ENABLED = "is embeds, which the settings do not let in (embeds=True would); raw items are bytes or waveforms"


class EmbeddingItems(ModalityDataItems[Tensor]):
    """Rows [tokens, hidden] of each item."""

    def get_feature_size(self, index: int) -> int:
        """How many tokens an item takes. Raises InputError for one that is known by its id alone."""
        return len(self.given(index))

    def get_processor_data(self) -> Mapping[str, object]:
        return {}

    def get_passthrough_data(self) -> Mapping[str, object]:
        return {f"{self.modality}_embeds": self._all_given()}


class ImageEmbeddingItems(EmbeddingItems):
    """Embeds of images."""


class VideoEmbeddingItems(EmbeddingItems):
    """Embeds of videos."""


class AudioEmbeddingItems(EmbeddingItems):
    """Embeds of audio."""


KINDS: Mapping[str, type[EmbeddingItems]] = {
    "image": ImageEmbeddingItems,
    "video": VideoEmbeddingItems,
    "audio": AudioEmbeddingItems,
}


def is_embeds(data: object) -> bool:
    """Whether data are embeds: an array of 3 dims that is none of bytes, or a list that begins with one of 2 dims."""
    return (is_array(data, 3) and not _is_bytes(data)) or (is_list(data) and is_array(first_given(data), 2))


def read_embeds(data: object, *, modality: str, hidden_size: int | None) -> EmbeddingItems:
    """[items, tokens, hidden], or a list of [tokens, hidden].

    Raises InputError with every item that is no such rows, or is not of the model's `hidden_size` or not floating.
    """
    assert is_list(data) or is_array(data)
    rows = read_each(data, partial(_read, hidden_size=hidden_size), modality=modality)
    return KINDS.get(modality, EmbeddingItems)(rows, modality=modality)


def check_several(data: object, *, modality: str) -> None:
    """Raise InputError for a single array of two dims, which is neither an item nor embeds."""
    if is_array(data, 2):
        told = "embeds are [items, tokens, hidden] or a list of [tokens, hidden]: for those of one item give [embeds]"
        raise InputError(f"is one {form(data)} of two dims, which is neither an item nor embeds; {told}", path=modality)


def check_rows(rows: NestedTensors, name: str, *, hidden_size: int | None) -> Tensor:
    """The rows of one item. Raises InputError when they are not floats [n, hidden_size], or none at all."""
    check_item_embeds(rows, width=hidden_size, path=name)
    assert isinstance(rows, Tensor)
    if not rows.numel():
        raise InputError(f"is {form(rows)}, and has no rows", path=name)
    return rows


def _read(entry: object, name: str, *, hidden_size: int | None) -> Tensor:
    return check_rows(as_tensors(entry, name), name, hidden_size=hidden_size)


def _is_bytes(array: Array) -> bool:
    return array.dtype == torch.uint8 if isinstance(array, Tensor) else array.dtype == np.uint8
