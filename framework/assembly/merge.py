"""Rows of items into the rows of a prompt."""

# T tokens, D width

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from triptych.errors import InputError, InputTypeError, Problem, short
from triptych.schemas import check_embeds


def mask_placeholders(input_ids: Tensor, is_multimodal: Tensor) -> Tensor:
    """Ids [T] to embed, 0 at the true places of the mask [T]: a placeholder's may lie past the vocabulary.

    Masked, not removed, so that positions stay aligned. Raises InputError for a mask that does not fit, InputTypeError
    for what is no tensor.
    """
    check_mask(is_multimodal, beside=input_ids, name="input_ids")
    return input_ids.masked_fill(is_multimodal.to(input_ids.device), 0)


def merge_embeddings(inputs_embeds: Tensor, embeddings: Sequence[Tensor] | Tensor, is_multimodal: Tensor) -> Tensor:
    """Write the items' rows at the true places of the mask [T], in order, in place; returns the same [T, D].

    The rows are [n_i, D] each, or one [items, n, D]; without any, nothing is written. Raises InputError, with nothing
    written, when numbers of rows, widths, dtypes or the mask do not fit, InputTypeError for what is no tensor.
    """
    check_mask(is_multimodal, beside=inputs_embeds, name="inputs_embeds")
    check_embeds(embeddings, width=inputs_embeds.shape[-1], path="multimodal_embeddings")
    if len(embeddings) == 0:
        return inputs_embeds
    check_count(embeddings, is_multimodal)
    inputs_embeds[is_multimodal] = torch.cat(list(embeddings)).to(inputs_embeds.dtype)
    return inputs_embeds


def check_count(embeddings: Sequence[Tensor] | Tensor, is_multimodal: Tensor) -> None:
    """Raise InputError unless there are as many rows as true places."""
    rows, places = sum(len(e) for e in embeddings), int(is_multimodal.sum())
    if rows != places:
        structure = " + ".join(str(len(e)) for e in embeddings)
        raise InputError(f"{rows} rows of items ({structure}) for {places} placeholders")


def check_mask(is_multimodal: Tensor, *, beside: Tensor, name: str) -> None:
    """Raise InputError for a mask of other than those tokens, InputTypeError for what is no tensor."""
    given = {name: beside, "is_multimodal": is_multimodal}
    if wrong := [key for key, value in given.items() if not isinstance(value, Tensor)]:
        raise InputTypeError(Problem(f"a tensor is wanted, not {short(given[key])}", key) for key in wrong)
    if is_multimodal.dtype != torch.bool or is_multimodal.shape != beside.shape[:1]:
        found = f"{tuple(is_multimodal.shape)} of {is_multimodal.dtype}"
        raise InputError(f"the mask of items is {found}; {tuple(beside.shape[:1])} of bool is wanted")
