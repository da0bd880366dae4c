"""The task `check`: the model is built on meta, and what it is made of is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from triptych.assembly import Assembled, assemble
from triptych.check.outline import outline
from triptych.check.shape import check_shapes
from triptych.experiments.read import Ready
from triptych.experiments.whole import Row, number
from triptych.spec.catalog import sample_config
from triptych.tasks.source import fetched
from triptych.weights import Checkpoint, check, match, names_in


def rows(ready: Ready, spec: Path, done: int) -> Iterator[Row]:
    """A row for each component, with its sizes; shapes are held to each other by a run on inputs without values.

    With a checkpoint, what its files hold is held to the model's parameters. Raises SpecError for what does not fit
    together, WeightMapError for files that do not fit the model.
    """
    del spec
    built = _built(ready)
    check_shapes(built)
    for node in outline(built).children[done:]:
        sizes = {key: value for key, value in node.facts.items() if isinstance(value, int)}
        yield {"component": node.name, "parameters": node.parameters, **sizes}


def summary(found: Sequence[Row]) -> Row:
    """Parameters in all, tokens of an item of the largest size, and the width of the language model, or of a tower."""
    tokens = {f"{_modality(row)}_tokens": row["tokens"] for row in found if "tokens" in row}
    widths = {str(row["component"]): row["width"] for row in found if "width" in row}
    *_, last = widths.values()
    return {
        "parameters": int(sum(number(row, "parameters") for row in found)),
        **tokens,
        "width": widths.get("language_model", last),
    }


def _built(ready: Ready) -> Assembled:
    if ready.settings.checkpoint is None:
        return assemble(ready.spec, _sample(ready), name=ready.name)
    checkpoint = Checkpoint(fetched(ready.settings.checkpoint))
    built = assemble(ready.spec, checkpoint.config, name=ready.name)
    names = names_in(checkpoint.folder, built.module, built.plan.scopes)
    check(match(built.module, names, checkpoint.tensors), checkpoint=str(checkpoint.folder))
    return built


def _sample(ready: Ready) -> Mapping[str, Any]:
    return sample_config(ready.spec, needed_by=f"experiment {ready.name}")


def _modality(row: Row) -> str:
    return str(row["component"]).rpartition(".")[2]
