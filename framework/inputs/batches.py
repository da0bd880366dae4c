"""Neighbouring items that one call of the encoder takes together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch

from triptych.inputs.kinds import MultiModalFieldElem, join_elems
from triptych.inputs.nested import NestedTensors, to_device

if TYPE_CHECKING:
    from triptych.inputs.items import MultiModalKwargsItem


def group_and_batch_mm_kwargs(
    items: Iterable[tuple[str, MultiModalKwargsItem]],
    *,
    device: torch.device | str | None = None,
    pin_memory: bool = False,
) -> Iterator[tuple[str, int, dict[str, NestedTensors]]]:
    """Modality, number of items and keywords of each call of the encoder, for items with their modality.

    Order is kept: neighbours are joined that have one modality, the same keys, kinds of field and shared data, and
    whose runs can stand one after the other. Tensors go to `device` but for fields that stay in host memory; with
    `pin_memory` by way of page-locked memory, where the device has any.
    """
    for modality, batch in batches(items):
        yield modality, len(batch), join_items(batch, device=device, pin_memory=pin_memory)


def batches(
    items: Iterable[tuple[str, MultiModalKwargsItem]],
) -> Iterator[tuple[str, list[MultiModalKwargsItem]]]:
    """Runs of items that go into one call each, with their modality."""
    batch: list[MultiModalKwargsItem] = []
    current = ""
    for modality, item in items:
        if batch and (modality != current or apart(batch[0], item)):
            yield current, batch
            batch = []
        current = modality
        batch.append(item)
    if batch:
        yield current, batch


def apart(one: MultiModalKwargsItem, other: MultiModalKwargsItem) -> str:
    """Why two items of a modality do not go into one call; empty where they do."""
    if lone := sorted(one.keys() ^ other.keys()):
        return f"{', '.join(lone)}: only one of them has it"
    reasons = ((key, elem.apart(other[key])) for key, elem in one.items())
    return next((f"{key}: {reason}" for key, reason in reasons if reason), "")


def join_items(
    batch: list[MultiModalKwargsItem], *, device: torch.device | str | None = None, pin_memory: bool = False
) -> dict[str, NestedTensors]:
    """The keywords of one call for items that go into one. Raises InputError where they do not."""
    columns = {key: [item[key] for item in batch] for key in batch[0]}
    joined = {key: join_elems(column, key) for key, column in columns.items()}
    if device is None:
        return joined
    place = torch.device(device)
    return {
        key: to_device(data, _place_of(columns[key][0], place), pin_memory=pin_memory) for key, data in joined.items()
    }


def _place_of(elem: MultiModalFieldElem, device: torch.device) -> torch.device:
    return torch.device("cpu") if elem.field.keep_on_cpu else device
