"""`triptych check`: a spec by itself, its shapes on tensors without memory, its weights table against a header."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.assembly import assemble
from triptych.check.shape import check_shapes
from triptych.errors import Problem, TriptychError
from triptych.spec.catalog import sample_config
from triptych.spec.document import Tree
from triptych.spec.merge import find_spec, load_tree
from triptych.spec.validate import validate
from triptych.weights import Checkpoint, Matching, match, tables, unused_rows

RUNGS = ("spec", "shape", "weights")


@dataclass
class Rung:
    """One rung: what was found wrong, what is worth saying, and why it was left out if it was."""

    name: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def state(self) -> str:
        return "failed" if self.problems else "skipped" if self.skipped else "passed"


@dataclass(frozen=True)
class Report:
    """Every rung of one spec."""

    name: str
    rungs: tuple[Rung, ...]

    @property
    def passed(self) -> bool:
        return not any(rung.problems for rung in self.rungs)


def check_spec(spec: str, *, checkpoint: Path | None = None) -> Report:
    """Climb as far as the spec goes; a failed rung leaves out those above it.

    `spec` is a registered name or the path of a YAML file. Without a checkpoint the spec's own `sample` config is used.
    """
    rungs = tuple(Rung(name) for name in RUNGS)
    climb = _climb(spec, rungs, checkpoint)
    for rung in rungs:
        try:
            rung.skipped = next(climb, "a rung below it failed")
        except TriptychError as error:
            rung.problems += error.problems
            climb.close()
    return Report(spec, rungs)


def _climb(name: str, rungs: tuple[Rung, ...], folder: Path | None) -> Generator[str, None, None]:
    """One step a rung: '' when it was climbed, else why it was left out."""
    spec, shape, weights = rungs
    path = Path(name) if name.endswith((".yaml", ".yml")) else find_spec(name)
    spec.problems += validate(path)
    if spec.problems:
        yield ""
        return
    yield ""
    tree = load_tree(path)
    checkpoint = Checkpoint(folder) if folder else None
    config = checkpoint.config if checkpoint else _sample(tree)
    if config is None:
        reason = "a fragment: it is checked with what is built on it"
        yield reason
        yield reason
        return
    assembled = assemble(tree, config, name=path.stem)
    shape.notes += check_shapes(assembled)
    choices = tables(assembled.plan.scopes)
    if unused := unused_rows(assembled.module, choices[0]):
        shape.notes.append(f"rows of weights that this config does not use: {', '.join(unused)}")
    yield ""
    if checkpoint is None:
        yield "no checkpoint; --checkpoint DIR names one"
        return
    found = match(assembled.module, choices, checkpoint.tensors)
    weights.problems += [Problem(f"{f.fault}: {f.message}", f.path) for f in found.findings]
    weights.notes += _notes(found)
    yield ""


def _sample(tree: Tree) -> Mapping[str, Any] | None:
    """The config that stands in the spec itself, naming the family it is of."""
    if not tree.get("sample") or not (tree.get("language_model") or tree.get("tower")):
        return None
    return sample_config(tree)


def _notes(found: Matching) -> Iterator[str]:
    read = {shard.name for shards in found.shards.values() for shard in shards if shard.stored}
    layout = f", names as in {found.table.name}" if found.table.name else ""
    yield f"{len(found.shards)} parameters from {len(read)} tensors{layout}"
    for word, names in (("dropped", found.dropped), ("not needed", found.unneeded)):
        if names:
            yield f"{len(names)} tensors {word}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
