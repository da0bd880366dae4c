"""A model's parameters against a checkpoint's header: which tensor goes where, and everything that does not fit.

Nothing is read but names, shapes and dtypes: this is also the dry run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from triptych.errors import Problem, WeightMapError, suggest
from triptych.weights.shards import Finding, Shard, Wanted, placed, shards_of
from triptych.weights.stored import Stored
from triptych.weights.table import Row, Table, filled, key_of

MAX_HINTS = 20  # near names are slow to look for, and only the first findings are shown


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


def _wanted(model: nn.Module) -> Iterator[tuple[str, Wanted]]:
    for path, parameter in model.named_parameters():
        owner, _, name = path.rpartition(".")
        module = model.get_submodule(owner)
        stacked: Mapping[str, tuple[int, ...]] = getattr(module, "stacked", {})
        yield path, Wanted(tuple(parameter.shape), getattr(module, "pieces", ()), stacked.get(name, ()))


def _hinted(findings: Sequence[Finding]) -> Iterator[Finding]:
    """The findings, the first missing names beside the nearest that nothing takes."""
    spare = [f.path for f in findings if f.fault == "unexpected"]
    for number, finding in enumerate(findings):
        near = ""
        if finding.wanted and number < MAX_HINTS:
            kind = finding.wanted.rsplit(".", 1)[-1]
            near = suggest(finding.wanted, [name for name in spare if name.rsplit(".", 1)[-1] == kind])
        yield replace(finding, message=finding.message + near) if "did you mean" in near else finding


def unused_rows(model: nn.Module, table: Table) -> list[Row]:
    """The rows that stand for no parameter of this model: parts that its config leaves out, or a mistyped path."""
    found = (table.find(path) for path, _ in model.named_parameters())
    used = {row.key for row, _ in filter(None, found)}
    skipped = [key_of(path) for path in getattr(model, "skipped", ())]
    rest = [row for row in table.rows.values() if row.key not in used]
    return [row for row in rest if not any(row.key[: len(key)] == key for key in skipped)]


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
    table: Table, parameters: Mapping[str, Wanted], skipped: tuple[str, ...], tensors: Mapping[str, Stored]
) -> Matching:
    findings: list[Finding] = []
    shards: dict[str, tuple[Shard, ...]] = {}
    users: dict[str, str] = {}
    shared: set[str] = set()
    for path, wanted in parameters.items():
        if (row := table.find(path)) is None:
            findings.append(Finding("unmapped", path, "no row of the weights table stands for it"))
            continue
        told = len(findings)
        found = [*shards_of(path, row, wanted, tensors, findings)]
        is_whole = len(findings) == told
        shared |= {shard.scales[0] for shard in found if shard.scales}
        for shard in found:
            if any(getattr(step, "shares", False) for step in shard.via):
                shared.add(shard.name)
            elif shard.stored is not None and (other := users.get(shard.name)):
                findings.append(Finding("doubly matched", path, f"{shard.name!r} on disk is read for {other} too"))
            elif shard.stored is not None:
                users[shard.name] = path
        if is_whole:
            shards[path] = placed(path, found, wanted, findings)
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
