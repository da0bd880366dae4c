"""Checkpoints as the ranks of a tensor-parallel engine read them: xAI's Grok-2, of which each rank has a file.

`NAME-TP-000.safetensors`, `NAME-TP-001.safetensors` and so on hold a part each of the same tensors, all parts of one
shape; `NAME-TP-common.safetensors` holds whole ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import torch
from torch import Tensor

from triptych.errors import CheckpointError
from triptych.weights.stored import Stored, read_header

_NAME = re.compile(r"(?P<of>.+)-TP-(?P<rank>\d{3}|common)\.safetensors")


@dataclass(frozen=True)
class Parts(Stored):
    """A tensor of which each rank has a part, one after the other along the dimension `dim`."""

    parts: tuple[Stored, ...] = ()
    dim: int = 0

    def along(self, dim: int) -> Parts:
        """The same parts along another dimension."""
        first = self.parts[0].shape
        return replace(self, dim=dim, shape=(*first[:dim], first[dim] * len(self.parts), *first[dim + 1 :]))

    def read(self) -> Tensor:
        return torch.cat([part.read() for part in self.parts], self.dim)

    def read_into(self, target: Tensor, *, first: int = 0) -> None:
        target.view(-1).copy_(self.read().view(-1)[first : first + target.numel()])


def of_ranks(files: Sequence[Path]) -> dict[str, Stored] | None:
    """The tensors of files that are named as those of ranks; None where there are none such, or others beside them.

    Raises CheckpointError when a rank lacks a file that others have, and for tensors that do not fit together.
    """
    named = [(found["of"], found["rank"], file) for file in files if (found := _NAME.fullmatch(file.name))]
    if not named or len(named) < len(files):
        return None
    ranks = 1 + max((int(rank) for _, rank, _ in named if rank != "common"), default=-1)
    tensors = dict[str, Stored]()
    for of, group in groupby(sorted(named), key=itemgetter(0)):
        by_rank = {rank: file for _, rank, file in group}
        common = by_rank.pop("common", None)
        for more in (read_header(common) if common else {}, _cut(of, list(by_rank.values()), ranks)):
            if twice := tensors.keys() & more.keys():
                raise CheckpointError(f"{files[0].parent}: {min(twice)!r} is in files of {of}, and in others")
            tensors |= more
    return tensors


def _cut(of: str, files: Sequence[Path], ranks: int) -> dict[str, Stored]:
    """The tensors that all ranks have a part of, by their files in order."""
    if files and len(files) < ranks:
        raise CheckpointError(f"{files[0].parent}: {of} has files of {len(files)} ranks, and there are {ranks}")
    headers = [read_header(file) for file in files]
    for file, found in zip(files, headers, strict=True):
        if unlike := [name for name in headers[0].keys() | found.keys() if not _alike(name, headers[0], found)]:
            raise CheckpointError(f"{file}: {min(unlike)!r} is no part of what rank 0 has of it")
    return {name: _parts([found[name] for found in headers]) for name in (headers[0] if headers else ())}


def _alike(name: str, first: Mapping[str, Stored], other: Mapping[str, Stored]) -> bool:
    """Whether both have it, in one shape that can be cut, and in one dtype."""
    a, b = first.get(name), other.get(name)
    return a is not None and b is not None and bool(a.shape) and (a.shape, a.dtype) == (b.shape, b.dtype)


def _parts(parts: Sequence[Stored]) -> Parts:
    first = parts[0]
    nbytes = sum(part.nbytes for part in parts)
    return Parts(first.file, first.shape, first.dtype, first.offset, nbytes, tuple(parts)).along(0)
