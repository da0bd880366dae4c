"""What a row of the weights table gives a parameter: tensors on disk, one after the other or one on the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from typing import Literal

import torch
from torch import Tensor

from triptych.errors import KernelError
from triptych.spec.base import PartSpec
from triptych.weights.ranks import Parts
from triptych.weights.stored import Stored
from triptych.weights.table import Row, Source, captured, filled

Fault = Literal["missing", "unexpected", "doubly matched", "wrong shape", "wrong dtype", "unmapped"]


@dataclass(frozen=True)
class Shard:
    """Rows `start:stop` (of the first dimension) of a parameter, and the tensor that they come from.

    With an `index` they are rows of the matrix of that number in the parameter, which is a stack of them. `stored` is
    None for an optional tensor that is not there: the rows are then filled with `absent`. `scales` are those of packed
    numbers, by name and as they are stored.
    """

    name: str
    stored: Stored | None
    via: tuple[PartSpec, ...]
    start: int = 0
    stop: int = 0
    absent: float = 0.0
    index: int | None = None
    dim: int = 0
    scales: tuple[str, Stored] | None = None

    @property
    def packed(self) -> bool:
        """Whether what is stored becomes numbers by the first of the transforms only."""
        return bool(self.via) and getattr(self.via[0], "packed", False)

    def transformed(self, x: Tensor, scales: Tensor | None) -> Tensor:
        """The tensor, and its scales where there are some, after the transforms."""
        first = [x] if scales is None else [x, scales]
        found: Tensor = self.via[0].build()(*first) if self.via else x
        return transformed(found, self.via[1:])


@dataclass(frozen=True)
class Wanted:
    """What a parameter needs: its shape, and the rows of each of the matrices that are one in it.

    Of a stack `stacked` are the rows of those that are one in each of its matrices.
    """

    shape: tuple[int, ...]
    pieces: tuple[int, ...] = ()
    stacked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit: of which kind, the parameter or the tensor that it is about, the name looked for."""

    fault: Fault
    path: str
    message: str
    wanted: str = ""


def shards_of(
    path: str, found: tuple[Row, str], wanted: Wanted, tensors: Mapping[str, Stored], findings: list[Finding]
) -> Iterator[Shard]:
    """What each source of a row gives, rows not placed yet; what is missing is a finding."""
    for name, source, index in names_of(path, found, count=wanted.shape[0] if wanted.shape else 0):
        stored = tensors.get(name)
        if stored is None and source.absent is None:
            findings.append(Finding("missing", path, f"nothing on disk under {name!r}", wanted=name))
            continue
        scales = None if source.scales is None else tensors.get(source.scales)
        if source.scales is not None and scales is None:
            findings.append(Finding("missing", path, f"nothing on disk under {source.scales!r}", wanted=source.scales))
            continue
        beside = (source.scales, scales) if source.scales is not None and scales is not None else None
        yield Shard(name, stored, source.via, absent=source.absent or 0.0, index=index, scales=beside)


def names_of(path: str, found: tuple[Row, str], *, count: int) -> Iterator[tuple[str, Source, int | None]]:
    """The names on disk that a parameter is made of, by its row and the rest of its path below that.

    A capture that the path does not have is each number below `count` in turn: the tensors of each are one matrix of
    the stack, the number of which comes with their names.
    """
    row, below = found
    captures = row.captures(tuple(path.split(".")))
    counted = {each for source in row.sources for each in captured(source.name)} - captures.keys()
    for index in range(count) if counted else (None,):
        known = {**captures, **dict.fromkeys(counted, str(index))}
        for source in row.sources:
            scales = source.scales and filled(source.scales, known) + below
            yield filled(source.name, known) + below, replace(source, scales=scales), index


def placed(path: str, found: Sequence[Shard], wanted: Wanted, findings: list[Finding]) -> tuple[Shard, ...]:
    """The shards in their rows, those of each index by themselves; what cannot stand there is a finding.

    Stacks that are one stack here stand in the rows of each of its matrices.
    """
    if found[0].index is None:
        stacks = len(found) > 1 and len(found) == len(wanted.stacked)
        return _in_rows(path, found, wanted, findings, dim=1 if stacks else 0)
    one = Wanted(wanted.shape[1:], wanted.stacked)
    by_index = groupby(found, key=lambda shard: shard.index)
    return tuple(shard for _, own in by_index for shard in _in_rows(path, [*own], one, findings))


def _in_rows(
    path: str, found: Sequence[Shard], wanted: Wanted, findings: list[Finding], *, dim: int = 0
) -> tuple[Shard, ...]:
    """The shards one after the other on one dimension; what cannot stand there is a finding."""
    led = Wanted(_led_by(dim, wanted.shape), wanted.stacked if dim else wanted.pieces)
    found = [_joined(shard, rest=led.shape[1:], dim=dim) for shard in found]
    whole = [s for s in found if s.stored and not s.stored.dtype.is_floating_point and not s.packed]
    findings += [Finding("wrong dtype", path, f"{shard.name} holds {_dtype(shard)}") for shard in whole]
    shapes = [shape and _led_by(dim, shape) for shape in map(_shape, found)]
    if (lengths := _lengths(shapes, led)) is None:
        disk = ", ".join(f"{s.name} {list(s.stored.shape) if s.stored else 'absent'}" for s in found)
        pieces = f" ({' + '.join(map(str, wanted.pieces))})" if len(wanted.pieces) > 1 else ""
        findings.append(Finding("wrong shape", path, f"{list(wanted.shape)}{pieces} in the model; on disk {disk}"))
        return tuple(found)
    stops = list(accumulate(lengths))
    return tuple(replace(s, start=a, stop=b, dim=dim) for s, a, b in zip(found, [0, *stops], stops, strict=False))


def _joined(shard: Shard, *, rest: tuple[int, ...], dim: int) -> Shard:
    """Parts of ranks along that dimension in which what they make fits beside the other shards: one alone can."""
    if not isinstance(shard.stored, Parts):
        return shard
    choices = [replace(shard, stored=shard.stored.along(at)) for at in range(len(shard.stored.shape))]
    return next((each for each in choices if _led_by(dim, _shape(each) or ())[1:] == rest), shard)


def _led_by(dim: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The same sizes, that dimension first."""
    return (*shape[dim : dim + 1], *shape[:dim], *shape[dim + 1 :])


def _lengths(shapes: list[tuple[int, ...] | None], wanted: Wanted) -> list[int] | None:
    """Rows of each shard, () counting as one and None (absent) as what is left; None when they do not make it up."""
    rows, rest = (wanted.shape[0] if wanted.shape else 1), wanted.shape[1:]
    there = [shape for shape in shapes if shape is not None]
    left = rows - sum(shape[0] if shape else 1 for shape in there)
    if any(shape[1:] != rest or len(shape) != len(wanted.shape) for shape in there):
        return None
    if len(shapes) - len(there) != (left > 0) or left < 0:
        return None
    lengths = [left if shape is None else shape[0] if shape else 1 for shape in shapes]
    return None if len(lengths) == len(wanted.pieces) and tuple(lengths) != wanted.pieces else lengths


def _dtype(shard: Shard) -> str:
    assert shard.stored
    return str(shard.stored.dtype).removeprefix("torch.")


def _shape(shard: Shard) -> tuple[int, ...] | None:
    """The shape after the transforms, tried on a tensor without memory; one that nothing has when they fail."""
    if shard.stored is None:
        return None
    if not shard.via:
        return shard.stored.shape
    there = [shard.stored, *(shard.scales[1:] if shard.scales else ())]
    x, *scales = (torch.empty(each.shape, dtype=each.dtype, device="meta") for each in there)
    try:
        return tuple(shard.transformed(x, scales[0] if scales else None).shape)
    except (RuntimeError, ValueError, KernelError):
        return (-1,)


def transformed(x: Tensor, via: tuple[PartSpec, ...]) -> Tensor:
    """A tensor from disk after a row's transforms."""
    for step in via:
        x = step.build()(x)
    return x
