"""The tensors of a cache, in memory that a host gives when they are first written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from triptych.parts.cache_layout import Layout, rows_of, state_dtypes
from triptych.parts.cache_needs import State

ALIGNED = 64  # bytes, as torch's own memory is


def row_tensors(layout: Layout, *, dtype: torch.dtype, device: torch.device) -> Mapping[str, tuple[Tensor, ...]]:
    """For each mixer that keeps rows, and each width, a tensor [pages, heads, page, width].

    Of several groups they lie over each other: a page has the rows of the group that takes it.
    """
    needs = rows_of(layout.needs)
    if len(layout.groups) == 1:
        page = layout.groups[0].page
        return {
            key: tuple(zeros((layout.pages, need.heads, page, w), dtype, device) for w in need.widths)
            for key, need in needs.items()
        }
    whole, found = zeros((layout.pages, layout.page_size), dtype, device), {}
    for group in layout.groups:
        start = 0
        for key in group.keys:
            heads, widths = needs[key].heads, needs[key].widths
            made = []
            for width in widths:
                stop = start + heads * group.page * width
                made.append(whole[:, start:stop].view(-1, heads, group.page, width))
                start = stop
            found[key] = tuple(made)
    return found


def state_tensors(layout: Layout, *, dtype: torch.dtype, device: torch.device) -> Mapping[str, tuple[Tensor, ...]]:
    """For each mixer that keeps a state, and each shape of it, a tensor [slots, ...]."""
    return {
        key: tuple(
            zeros((layout.slots, *shape), each, device)
            for shape, each in zip(need.shapes, state_dtypes(need, dtype), strict=True)
        )
        for key, need in layout.needs.items()
        if isinstance(need, State)
    }


def zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros of which a host gives memory when they are first written: numpy asks for them so, and torch writes them."""
    if device.type != "cpu":
        return torch.zeros(*shape, dtype=dtype, device=device)
    size = prod(shape) * dtype.itemsize
    raw = np.zeros(size + ALIGNED, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNED
    return torch.from_numpy(raw[start : start + size]).view(dtype).view(*shape)
