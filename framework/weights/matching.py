"""A model's parameters against a checkpoint's header: which tensor goes where, and everything that does not fit.

Nothing is read but names, shapes and dtypes: this is also the dry run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor, nn

from triptych.errors import KernelError, Problem, WeightMapError, suggest
from triptych.spec.base import PartSpec
from triptych.weights.checkpoint import Stored
from triptych.weights.table import Row, Table, filled, key_of

MAX_HINTS = 20  # near names are slow to look for, and only the first findings are shown

Fault = Literal["missing", "unexpected", "doubly matched", "wrong shape", "wrong dtype", "unmapped"]


@dataclass(frozen=True)
class Shard:
    """Rows `start:stop` (of the first dimension) of a parameter, and the tensor that they come from.

    `stored` is None for an optional tensor that is not there: the rows are then filled with `absent`.
    """

    name: str
    stored: Stored | None
    via: tuple[PartSpec, ...]
    start: int = 0
    stop: int = 0
    absent: float = 0.0


@dataclass(frozen=True)
class _Wanted:
    """What a parameter needs: its shape, and the rows of each of the matrices that are one in it."""

    shape: tuple[int, ...]
    pieces: tuple[int, ...]


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit: of which kind, the parameter or the tensor that it is about, the name looked for."""

    fault: Fault
    path: str
    message: str
    wanted: str = ""


@dataclass(frozen=True)
class Matching:
    """What one table makes of one checkpoint."""

    table: Table
    shards: Mapping[str, tuple[Shard, ...]]
    dropped: tuple[str, ...]
    unneeded: tuple[str, ...]
    findings: tuple[Finding, ...]


def match(model: nn.Module, choices: Iterable[Table], tensors: Mapping[str, Stored]) -> Matching:
    """The matching by the table that leaves least wrong: the first without findings, if there is one.

    `model.skipped`, if it has one, names the paths of what is not built on purpose; their tensors are not needed.
    """
    parameters = dict(_wanted(model))
    skipped: Iterable[str] = getattr(model, "skipped", ())
    best: Matching | None = None
    for table in choices:
        found = _match(table, parameters, tuple(skipped), tensors)
        if not found.findings:
            return found
        if best is None or len(found.findings) < len(best.findings):
            best = found
    assert best is not None
    return replace(best, findings=tuple(_hinted(best.findings)))


def _wanted(model: nn.Module) -> Iterator[tuple[str, _Wanted]]:
    for path, parameter in model.named_parameters():
        pieces = getattr(model.get_submodule(path.rpartition(".")[0]), "pieces", ())
        yield path, _Wanted(tuple(parameter.shape), pieces)


def _hinted(findings: Sequence[Finding]) -> Iterator[Finding]:
    """The findings, the first missing names beside the nearest that nothing takes."""
    spare = [f.path for f in findings if f.fault == "unexpected"]
    for number, finding in enumerate(findings):
        near = ""
        if finding.wanted and number < MAX_HINTS:
            kind = finding.wanted.rsplit(".", 1)[-1]
            near = suggest(finding.wanted, [name for name in spare if name.rsplit(".", 1)[-1] == kind])
        yield replace(finding, message=finding.message + near) if "did you mean" in near else finding


def unused_rows(model: nn.Module, table: Table) -> list[str]:
    """Paths of rows that stand for no parameter of this model: parts that its config leaves out, or a mistyped path."""
    found = (table.find(path) for path, _ in model.named_parameters())
    used = {row.key for row, _ in filter(None, found)}
    skipped = [key_of(path) for path in getattr(model, "skipped", ())]
    rest = [row for row in table.rows.values() if row.key not in used]
    return [row.path for row in rest if not any(row.key[: len(key)] == key for key in skipped)]


def check(matching: Matching, *, checkpoint: str) -> None:
    """Raise WeightMapError with all findings, component by component; nothing happens when all fits."""
    if not matching.findings:
        return
    problems = []
    for component, findings in _by_component(matching):
        problems.append(Problem(f"{checkpoint}: {component}: {len(findings)} tensors do not fit"))
        problems += [Problem(f"  {f.fault}: {f.message}", f"  {f.path}") for f in findings[:20]]
        if len(findings) > 20:
            problems.append(Problem(f"  ... and {len(findings) - 20} more"))
    raise WeightMapError(problems)


def _by_component(matching: Matching) -> Iterator[tuple[str, list[Finding]]]:
    groups: dict[str, list[Finding]] = {}
    for finding in matching.findings:
        groups.setdefault(_component(finding, matching.table), []).append(finding)
    yield from sorted(groups.items())


def _component(finding: Finding, table: Table) -> str:
    path = finding.path
    if finding.fault == "unexpected":  # a name on disk: the row whose name there it is nearest to
        shared = [(len(_common(path, s.name)), row.path) for row in table.rows.values() for s in row.sources]
        path = max(shared, default=(0, path))[1] if shared else path
    first = path.partition(".")[0]
    return (
        ".".join(path.split(".")[:2])
        if first in ("towers", "projectors")
        else first
        if first == "language_model"
        else "model"
    )


def _common(a: str, b: str) -> str:
    length = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[:length]


def _match(
    table: Table, parameters: Mapping[str, _Wanted], skipped: tuple[str, ...], tensors: Mapping[str, Stored]
) -> Matching:
    findings: list[Finding] = []
    shards: dict[str, tuple[Shard, ...]] = {}
    users: dict[str, str] = {}
    shared: set[str] = set()
    for path, wanted in parameters.items():
        if (row := table.find(path)) is None:
            findings.append(Finding("unmapped", path, "no row of the weights table stands for it"))
            continue
        found = list(_shards(path, *row, tensors, findings))
        for shard in found:
            if any(getattr(step, "shares", False) for step in shard.via):
                shared.add(shard.name)
            elif shard.stored is not None and (other := users.get(shard.name)):
                findings.append(Finding("doubly matched", path, f"{shard.name!r} on disk is read for {other} too"))
            elif shard.stored is not None:
                users[shard.name] = path
        if len(found) == len(row[0].sources):
            shards[path] = _placed(path, found, wanted, findings)
    rest = sorted(set(tensors) - set(users) - shared)
    unneeded_below, dropped_below = _unneeded(table, skipped), tuple(table.drop)
    dropped = tuple(name for name in rest if _is_below(name, dropped_below))
    unneeded = tuple(name for name in rest if name not in dropped and _is_below(name, unneeded_below))
    findings += [
        Finding("unexpected", name, "on disk, and no row takes it")
        for name in rest
        if name not in dropped and name not in unneeded
    ]
    return Matching(table, shards, dropped, unneeded, tuple(findings))


def _shards(path: str, row: Row, below: str, tensors: Mapping[str, Stored], findings: list[Finding]) -> Iterator[Shard]:
    """What each source of a row gives, rows not placed yet; what is missing is a finding."""
    captures = row.captures(tuple(path.split(".")))
    for source in row.sources:
        name = filled(source.name, captures) + below
        stored = tensors.get(name)
        if stored is None and source.absent is None:
            findings.append(Finding("missing", path, f"nothing on disk under {name!r}", wanted=name))
            continue
        yield Shard(name, stored, source.via, absent=source.absent or 0.0)


def _placed(path: str, found: list[Shard], wanted: _Wanted, findings: list[Finding]) -> tuple[Shard, ...]:
    """The shards one after the other on the first dimension; what cannot stand there is a finding."""
    whole = [shard for shard in found if shard.stored and not shard.stored.dtype.is_floating_point]
    findings += [Finding("wrong dtype", path, f"{shard.name} holds {_dtype(shard)}") for shard in whole]
    if (lengths := _lengths([_shape(shard) for shard in found], wanted)) is None:
        disk = ", ".join(f"{s.name} {list(s.stored.shape) if s.stored else 'absent'}" for s in found)
        pieces = f" ({' + '.join(map(str, wanted.pieces))})" if len(wanted.pieces) > 1 else ""
        findings.append(Finding("wrong shape", path, f"{list(wanted.shape)}{pieces} in the model; on disk {disk}"))
        return tuple(found)
    stops = list(accumulate(lengths))
    return tuple(replace(s, start=a, stop=b) for s, a, b in zip(found, [0, *stops], stops, strict=False))


def _lengths(shapes: list[tuple[int, ...] | None], wanted: _Wanted) -> list[int] | None:
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
    try:
        return tuple(transformed(torch.empty(shard.stored.shape, device="meta"), shard.via).shape)
    except (RuntimeError, ValueError, KernelError):
        return (-1,)


def transformed(x: Tensor, via: tuple[PartSpec, ...]) -> Tensor:
    """A tensor from disk after a row's transforms."""
    for step in via:
        x = step.build()(x)
    return x


def _is_below(name: str, templates: tuple[str, ...]) -> bool:
    steps = name.split(".")
    return any(_covers(template.split("."), steps) for template in templates)


def _covers(template: list[str], steps: list[str]) -> bool:
    """Whether a name stands at or below a template, in which a capture is any one step."""
    return len(template) <= len(steps) and all(
        t == s or (t.startswith("{") and t.endswith("}")) for t, s in zip(template, steps, strict=False)
    )


def _unneeded(table: Table, skipped: tuple[str, ...]) -> tuple[str, ...]:
    """Names on disk of what is not built on purpose: layers past the one that is handed out, a tied head."""
    found: list[str] = []
    for path in skipped:
        steps, key = tuple(path.split(".")), key_of(path)
        for row_key, row in table.rows.items():
            if row_key[: len(key)] == key:
                found += [filled(source.name, row.captures(steps)) for source in row.sources]
    return tuple(found)
