"""Tensors from disk to a model that was built on meta: each parameter allocated once, each byte read once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from triptych.weights.matching import Matching
from triptych.weights.ranks import Parts
from triptych.weights.shards import Shard
from triptych.weights.stored import Stored

SCRATCH = 2**20  # bytes
PIECE = 24 * 2**10  # numbers; from 32 * 2**10 on torch spreads a copy over threads

Progress = Callable[[int, int], None]


@torch.no_grad()
def fill(
    model: nn.Module,
    matching: Matching,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
    progress: Progress | None = None,
) -> None:
    """Give every parameter memory on `device` and its values, in `dtype` (None: as each is stored).

    Peak memory beside the model is one tensor where a row has transforms, else a megabyte. `progress(done, total)`
    is called with bytes read so far. Raises CheckpointError when a file ends too soon; the model is then unusable, and
    nothing on disk has changed.
    """
    total = sum(s.stored.nbytes for shards in matching.shards.values() for s in shards if s.stored)
    done, scratch = 0, torch.empty(SCRATCH, dtype=torch.uint8)  # one for all: freed pieces between parameters stay lost
    for path, shards in matching.shards.items():
        owner, name = _owner(model, path)
        shape = getattr(owner, name).shape
        values = torch.empty(shape, dtype=dtype or _stored_dtype(shards), device=device)
        for shard in shards:
            _place(values, shard, scratch)
            done += shard.stored.nbytes if shard.stored else 0
            if progress:
                progress(done, total)
        setattr(owner, name, nn.Parameter(values, requires_grad=False))


def _owner(model: nn.Module, path: str) -> tuple[nn.Module, str]:
    module, _, name = path.rpartition(".")
    return model.get_submodule(module), name


def _stored_dtype(shards: tuple[Shard, ...]) -> torch.dtype:
    if any(shard.packed for shard in shards):  # which holds every number of theirs
        return torch.bfloat16
    return next((s.stored.dtype for s in shards if s.stored), torch.get_default_dtype())


def _place(values: Tensor, shard: Shard, scratch: Tensor) -> None:
    """Read a shard into its rows: straight there when nothing has to be changed on the way."""
    whole = values if shard.index is None else values[shard.index]
    rows = whole.narrow(shard.dim, shard.start, shard.stop - shard.start) if whole.ndim else whole
    if shard.stored is None:
        rows.fill_(shard.absent)
    elif shard.via:
        rows.copy_(shard.transformed(shard.stored.read(), shard.scales[1].read() if shard.scales else None))
    elif not rows.is_contiguous() or isinstance(shard.stored, Parts):
        rows.copy_(shard.stored.read())
    elif rows.device.type == "cpu" and rows.dtype == shard.stored.dtype and rows.numel():
        shard.stored.read_into(rows)
    else:
        _convert(rows.view(-1), shard.stored, scratch.view(shard.stored.dtype))


def _convert(values: Tensor, stored: Stored, scratch: Tensor) -> None:
    """To another dtype or device, a megabyte at a time."""
    for first in range(0, values.numel(), scratch.numel()):
        part = values[first : first + scratch.numel()]
        stored.read_into(scratch[: part.numel()], first=first)
        _copy(part, scratch[: part.numel()])


def _copy(values: Tensor, given: Tensor) -> None:
    """On a host by one thread: most of it is memory that is touched first, where threads get in each other's way."""
    size = PIECE if values.device.type == "cpu" else values.numel()
    for part, given_part in zip(torch.split(values, size), torch.split(given, size), strict=True):
        part.copy_(given_part)
